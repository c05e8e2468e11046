"""Use a trained model: encode sentences and videos, search a folder, show the results."""

from ..video.video_files import VIDEO_EXTENSIONS, VideoFile, find_videos
from .gallery import Gallery, VideoFeatures
from .hits import SearchHit
from .inferencer import RetrievalInferencer
from .pages import write_html_report

__all__ = [
    'VIDEO_EXTENSIONS',
    'Gallery',
    'RetrievalInferencer',
    'SearchHit',
    'VideoFeatures',
    'VideoFile',
    'find_videos',
    'write_html_report',
]
