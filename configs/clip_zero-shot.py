# CLIP as it comes: the mean of up to 12 frames, one a second or spread over a longer video. Nothing
# to train; for search and test with any weights of CLIP ViT-B/32.
_base_ = './ablations/clip4clip_meanp_msrvtt.py'
