"""Use a trained model: encode sentences and videos, search a folder, show what was found."""

from ..video.video_files import VIDEO_EXTENSIONS, VideoFile, find_videos
from .gallery import Gallery
from .html_report import write_html_report
from .inferencer import RetrievalInferencer, SearchHit, VideoFeatures

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
