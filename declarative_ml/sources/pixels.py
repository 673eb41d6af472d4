"""An image file as a few pixels: upright, on white, shrunk to one size, grey or in colour."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, Literal

from declarative_ml.core.errors import DataError, one_line
from declarative_ml.core.optional import require

if TYPE_CHECKING:
    import numpy as np

Colour = Literal["grey", "rgb"]
CHANNELS: dict[Colour, tuple[str, ...]] = {"grey": ("",), "rgb": ("_red", "_green", "_blue")}
"""What ends the name of a pixel's column."""
MOST_PIXELS = 50_000_000
"""Of a file: a small one may unfold to more than there is memory."""
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""Others, such as PostScript, are programs."""
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_HINT = "repair it or take it away"


def pixels(content: bytes, what: str, height: int, width: int, colour: Colour) -> np.ndarray:
    """The pixels, uint8 [height * width * channels], row after row, the channels of a pixel side by side.

    The picture is stretched to the size, each pixel the mean of those that it stands for. Of several frames,
    the first is taken. Raises DataError, which names the file by `what`, for one that is no image.
    """
    import numpy as np

    image_module = require("PIL.Image", "images")
    operations = require("PIL.ImageOps", "images")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata; what matters is an error
        warnings.simplefilter("error", image_module.DecompressionBombWarning)
        try:
            with image_module.open(io.BytesIO(content), formats=_FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise image_module.DecompressionBombError(f"{image.width} x {image.height}")
                upright = operations.exif_transpose(_eight_bits(image, what, image_module))
                small = _flat(upright, colour, image_module)
                resized = small.resize((width, height), image_module.Resampling.BOX)
        except (image_module.DecompressionBombError, image_module.DecompressionBombWarning) as error:
            said = f"{what} has more than {MOST_PIXELS:,} pixels: {one_line(error)}"
            raise DataError(said, hint="make it smaller, or take it away") from None
        except image_module.UnidentifiedImageError:
            raise DataError(f"{what} is no image, whatever its name says", hint=_HINT) from None
        except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError) as error:
            raise DataError(f"{what} is damaged: {one_line(error)}", hint=_HINT) from None
    found: np.ndarray = np.asarray(resized, dtype=np.uint8).reshape(-1)
    return found


def _eight_bits(image: Any, what: str, image_module: Any) -> Any:
    """The image with 8 bits a channel: Pillow would cut deeper ones off at 255."""
    import numpy as np

    if image.mode == "F":
        raise DataError(f"{what} holds floating-point numbers", hint="save it with 8 or 16 bits")
    if image.mode not in _DEEP:
        return image
    deep = np.asarray(image, dtype=np.int64)
    shallow = image_module.fromarray((np.clip(deep, 0, 65_535) // 257).astype(np.uint8))
    shallow.info.update(image.info)
    return shallow


def _flat(image: Any, colour: Colour, image_module: Any) -> Any:
    """Grey or RGB; what is transparent shows white."""
    mode = "L" if colour == "grey" else "RGB"
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        image = image_module.alpha_composite(image_module.new("RGBA", clear.size, "white"), clear)
    return image.convert(mode)
