"""Make file names fit to print, and tell sentences from none."""

import unicodedata

__all__ = ['has_words', 'printable']


def printable(text: str) -> str:
    r"""Replace what cannot be shown by escapes: line breaks, control codes, undecodable bytes.

    Example:
        >>> printable('a\nb.mp4')
        'a\\nb.mp4'
    """
    return ''.join(
        char if char.isprintable() else char.encode('unicode_escape').decode('ascii')
        for char in text
    )


def has_words(text: str) -> bool:
    """Tell whether a text holds a letter, digit or emoji, and not punctuation or blanks alone.

    Example:
        >>> has_words('a dog'), has_words('狗'), has_words('!!!'), has_words('\u200b')
        (True, True, False, False)
    """
    categories = {unicodedata.category(char) for char in text}
    return any(one[0] in 'LN' or one == 'So' for one in categories)
