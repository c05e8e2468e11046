"""The routes of the app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.types import ASGIApp

from ...apis import RetrievalInferencer
from ...apis.pages import PAGE_STYLE, make_environment
from ...apis.timeline import TIMELINE_SCRIPT
from ...utils.workers import Failure
from ..bound import OtherScore
from .access import Gate
from .cards import media_type_of
from .decoding import DecodingCache, Job
from .opening import make_opener
from .pictures import Clip, FramesAt
from .queries import QueryEncoder, SearchForm, without_empty
from .searches import Searches
from .uploads import UploadError, Uploads
from .video_library import Library

__all__ = ['create_app']

Result = TypeVar('Result')
MAX_UPLOAD = 500 * 2**20  # bytes
MAX_FRAMES = 256  # of a moment
NUM_STRIPS, NUM_CLIPS = 512, 64  # that are kept, about 30 MB each
KEPT = {'Cache-Control': 'private, max-age=3600'}
STATIC = Path(__file__).with_name('static')
PAGES = make_environment('ts2net_mm.search.app', 'ts2net_mm.apis')


def create_app(
    inferencer: RetrievalInferencer,
    index: str | Path,
    *,
    host: str = '127.0.0.1',
    password: str | None = None,
    folders: Sequence[str | Path] = (),
    max_upload: int = MAX_UPLOAD,
) -> ASGIApp:
    """Make the app that searches an index in a browser.

    Args:
        inferencer: The model with which the index was made.
        index: The folder of the index, or an address of Milvus, see `open_index`.
        host: The address on which the app will listen.
        password: Asked for if it is given.
        folders: Folders whose files may be shown; by default the one in which all videos lie.
        max_upload: Largest uploaded file, bytes.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If it was made with another model, or cannot be read.
        MilvusError: If its server cannot be reached, or another process has the file.
    """
    other_score = OtherScore(inferencer.score_frames)
    opener = make_opener(index, inferencer.fingerprint, other_score)
    library = Library(opener, folders)
    encoder = QueryEncoder(inferencer)
    uploads = Uploads(encoder.encode_file, max_upload)
    searches = Searches(library, encoder, uploads)
    frames: DecodingCache[list[bytes]] = DecodingCache(NUM_STRIPS)
    clips: DecodingCache[bytes] = DecodingCache(NUM_CLIPS)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        frames.close()
        clips.close()
        opener.close()

    # FastAPI's own pages load scripts from other servers
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    _add_styles(app)
    _add_searches(app, searches, inferencer.name, max_upload)
    _add_uploads(app, uploads)
    _add_files(app, searches)
    _add_pictures(app, searches, frames, clips)
    return Gate(app, host=host, password=password)


def _add_styles(app: FastAPI) -> None:
    @app.get('/static/page.css')
    def page_style() -> FileResponse:
        return FileResponse(PAGE_STYLE)

    @app.get('/static/timeline.js')
    def timeline_script() -> FileResponse:
        return FileResponse(TIMELINE_SCRIPT)

    @app.get('/favicon.ico')
    def icon() -> FileResponse:
        return FileResponse(STATIC / 'icon.svg')

    app.mount('/static', StaticFiles(directory=STATIC), 'static')


def _add_searches(app: FastAPI, searches: Searches, model: str, max_upload: int) -> None:
    @app.get('/')
    def page(request: Request) -> HTMLResponse:
        values: dict[str, Any] = dict(form=SearchForm(), found=None, problem=None)
        status = 200
        try:
            values['form'] = form = _read_form(request)
            view = searches.view()
            values['num_videos'], values['num_windows'] = searches.count(view)
            values['found'] = None if form.is_empty else searches.run(form)
        except HTTPException as error:
            status, values['problem'] = error.status_code, error.detail
        template = PAGES.get_template('app.html')
        fixed = dict(model=model, max_upload=max_upload, num_videos=None)
        return HTMLResponse(template.render(fixed | values), status)

    @app.get('/search.json')
    def hits(request: Request) -> Response:
        form = _read_form(request)
        if form.is_empty:
            raise HTTPException(422, 'There is nothing to search for: q, like or upload.')
        # JSON has no NaN, which stands for unknown times
        content = to_json(searches.run(form).result, inf_nan_mode='null')
        return Response(content, media_type='application/json')


def _add_uploads(app: FastAPI, uploads: Uploads) -> None:
    @app.post('/upload')
    async def upload(request: Request, name: str = '') -> dict[str, str]:
        try:
            stated = int(request.headers.get('content-length', 0))
            token = await uploads.receive(name[:200], request.stream(), stated)
        except UploadError as error:
            raise HTTPException(error.status, str(error)) from error
        return dict(token=token)


def _add_files(app: FastAPI, searches: Searches) -> None:
    @app.api_route('/video/{key}', methods=['GET', 'HEAD'])
    def video(key: str) -> FileResponse:
        path = searches.file(searches.view(), key).path
        # asked for again each time, because the file may be deleted
        headers = {'Cache-Control': 'no-cache'}
        return FileResponse(path, media_type=media_type_of(path), headers=headers)


def _add_pictures(
    app: FastAPI,
    searches: Searches,
    frames: DecodingCache[list[bytes]],
    clips: DecodingCache[bytes],
) -> None:
    async def find(key: str) -> tuple[str, tuple[int, int]]:
        video = await asyncio.to_thread(lambda: searches.file(searches.view(), key))
        return video.path, (video.size, video.mtime_ns)

    @app.get('/frames/{key}/{number}.jpg')
    async def frame(key: str, number: int, t: str) -> Response:
        seconds = _read_times(t)
        if not 0 <= number < len(seconds):
            raise HTTPException(404, f'There is no frame {number}.')
        pictures = await _wait_for(frames, FramesAt(*await find(key), seconds))
        return Response(pictures[number], media_type='image/jpeg', headers=KEPT)

    @app.get('/clips/{key}.mp4')
    async def clip(key: str, t: str) -> Response:
        seconds = _read_times(t)
        if len(seconds) != 2 or seconds[0] >= seconds[1]:
            raise HTTPException(422, 't is not the start and the end of a clip.')
        content = await _wait_for(clips, Clip(*await find(key), *seconds))
        return Response(content, media_type='video/mp4', headers=KEPT)


async def _wait_for(cache: DecodingCache[Result], job: Job[Result]) -> Result:
    # shielded: other requests may wait for the same
    result = await asyncio.shield(asyncio.wrap_future(cache.get(job)))
    if isinstance(result, Failure):
        raise HTTPException(404, f'The frames cannot be decoded: {result.reason}')
    return result


def _read_form(request: Request) -> SearchForm:
    try:
        return SearchForm.model_validate(without_empty(request.query_params))
    except ValidationError as error:
        problem = error.errors()[0]
        field = str(problem['loc'][0])
        name = SearchForm.model_fields[field].title or field
        raise HTTPException(422, f'{name}: {problem["msg"]}') from error


def _read_times(text: str) -> tuple[float, ...]:
    try:
        seconds = tuple(float(part) for part in text.split(',', MAX_FRAMES)[:MAX_FRAMES])
    except ValueError:
        raise HTTPException(422, 't is not a list of seconds.') from None
    if not all(0 <= time < 1e7 for time in seconds):
        raise HTTPException(422, 't has times outside of a video.')
    return seconds
