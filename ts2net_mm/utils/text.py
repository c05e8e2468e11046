"""One-line error messages, printable file names, digests, and whether a text has words."""

import hashlib
import json
import re
import unicodedata

__all__ = ['digest_of', 'has_words', 'one_line', 'printable']


def printable(text: str) -> str:
    r"""Escape characters that cannot be shown: line breaks, control codes, undecodable bytes.

    Example:
        >>> printable('a\nb.mp4')
        'a\\nb.mp4'
    """
    if text.isprintable():
        return text
    return ''.join(
        char if char.isprintable() else char.encode('unicode_escape').decode('ascii')
        for char in text
    )


def one_line(error: BaseException) -> str:
    """Shorten an error to its type and first sentence.

    Example:
        >>> one_line(ValueError('no such layer. The layers are\\n...'))
        'ValueError: no such layer'
    """
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    sentence = re.split(r'\n|\.\s', str(text).strip(), maxsplit=1)[0]
    return f'{type(error).__name__}: {sentence[:300]}'


def has_words(text: str) -> bool:
    """Tell whether a text has a letter, digit or emoji, not only punctuation and spaces.

    Example:
        >>> has_words('a dog'), has_words('狗'), has_words('!!!'), has_words('\u200b')
        (True, True, False, False)
    """
    categories = {unicodedata.category(char) for char in text}
    return any(category[0] in 'LN' or category == 'So' for category in categories)


def digest_of(content: object) -> str:
    """Condense what JSON can write, or else its ``repr``, to twelve characters.

    Example:
        >>> digest_of({'a': 1, 'b': 2}) == digest_of({'b': 2, 'a': 1})
        True
    """
    text = json.dumps(content, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
