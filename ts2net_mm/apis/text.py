"""Make file names fit to print."""

__all__ = ['printable']


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
