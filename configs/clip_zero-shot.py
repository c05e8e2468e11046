# CLIP without training: the mean of up to 12 frames, one per second or spread over a longer video.
# For search and test with any weights of CLIP ViT-B/32.
_base_ = './ablations/clip4clip_meanp_msrvtt.py'
