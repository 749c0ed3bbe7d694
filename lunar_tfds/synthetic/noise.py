"""Random fields that terrain, grain and rock surfaces are made of."""

import functools

import numpy as np


def band_noise(
    rng: np.random.Generator, size: int, shortest: float, longest: float
) -> np.ndarray:
    """Returns two independent periodic noise fields with equal slope in each octave.

    Height power falls as frequency**-4 inside the band, so that every octave adds the
    same root-mean-square slope: the self-similar look of regolith.

    Args:
        rng: numpy Generator.
        size: samples along each side.
        shortest: shortest wavelength, samples.
        longest: longest wavelength, samples.

    Returns:
        float32 [2, size, size], each scaled to a root-mean-square slope of 1 a sample.
    """
    frequency = np.fft.fftfreq(size).astype(np.float32)
    squared = frequency[:, None] ** 2 + frequency[None, :] ** 2
    inside = (squared >= longest**-2.0) & (squared <= shortest**-2.0)
    spectrum = np.zeros((size, size), np.complex64)
    count = int(inside.sum())
    parts = rng.standard_normal((2, count), dtype=np.float32)
    spectrum[inside] = (parts[0] + 1j * parts[1]) / squared[inside]
    field = np.fft.ifft2(spectrum)
    fields = np.stack([field.real, field.imag]).astype(np.float32)
    for height in fields:
        slope = height - np.roll(height, 1, axis=1)
        height /= np.sqrt(np.mean(slope * slope, dtype=np.float64))
    return fields


@functools.cache
def grain_tile(size: int = 512) -> np.ndarray:
    """Returns the slopes and height of one periodic octave of noise.

    The tile is the same in every scene; scenes differ in its offset and rotation.

    Returns:
        float32 [size, size, 3]: slope along x, slope along y (root mean square 1) and
        height (standard deviation 1). Its wavelength is `GRAIN_WAVELENGTH` samples.
    """
    rng = np.random.default_rng(20_110_613)
    height = band_noise(rng, size, GRAIN_WAVELENGTH * 0.7, GRAIN_WAVELENGTH * 1.4)[0]
    slope_x = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2
    slope_y = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / 2
    layers = [slope_x, slope_y, height]
    return np.stack([a / a.std() for a in layers], -1).astype(np.float32)


GRAIN_WAVELENGTH = 6.0  # Samples of `grain_tile`.


@functools.cache
def solid_tile(size: int = 64) -> np.ndarray:
    """Returns gradient and value of one periodic octave of noise in space.

    Returns:
        float32 [size, size, size, 4]: gradient (x, y, z) with a root mean square of 1
        a component, then the value with standard deviation 1. The wavelength is
        `SOLID_WAVELENGTH` samples.
    """
    rng = np.random.default_rng(20_130_102)
    frequency = np.fft.fftfreq(size)
    squared = sum(f**2 for f in np.meshgrid(*[frequency] * 3, indexing="ij"))
    inside = np.abs(np.sqrt(squared) * SOLID_WAVELENGTH - 1) < 0.35
    white = np.fft.fftn(rng.standard_normal((size,) * 3))
    value = np.fft.ifftn(white * inside).real
    layers = [(np.roll(value, -1, a) - np.roll(value, 1, a)) / 2 for a in range(3)]
    return np.stack([a / a.std() for a in [*layers, value]], -1).astype(np.float32)


SOLID_WAVELENGTH = 5.0  # Samples of `solid_tile`.


def sample_grain(
    x: np.ndarray, y: np.ndarray, wavelength: float, offset: np.ndarray, angle: float
) -> np.ndarray:
    """Returns `grain_tile` at world positions.

    Args:
        x: float32 [n], m.
        y: float32 [n], m.
        wavelength: m.
        offset: two numbers in [0, 1), the tile's shift.
        angle: the tile's rotation, rad.

    Returns:
        float32 [n, 3]: slopes along world x and y, and height; not amplified.
    """
    tile = grain_tile()
    size = tile.shape[0]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    scale = np.float32(GRAIN_WAVELENGTH / wavelength)
    u = ((x * cos + y * sin) * scale + np.float32(offset[0] * size)).astype(np.int32)
    v = ((y * cos - x * sin) * scale + np.float32(offset[1] * size)).astype(np.int32)
    values = tile.reshape(-1, 3)[(v % size) * size + u % size]
    slope_u, slope_v = values[:, 0], values[:, 1]
    slopes = [slope_u * cos - slope_v * sin, slope_u * sin + slope_v * cos]
    return np.stack([*slopes, values[:, 2]], -1)


def sample_solid(points: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Returns `solid_tile` at points of space, trilinearly.

    Args:
        points: float32 [n, 3].
        wavelength: float32 [n], in the unit of `points`.

    Returns:
        float32 [n, 4]: gradient (unit root mean square) and value.
    """
    tile = solid_tile()
    size = tile.shape[0]
    flat = tile.reshape(-1, 4)
    position = points * (SOLID_WAVELENGTH / wavelength)[:, None]
    base = np.floor(position)
    part = (position - base).astype(np.float32)
    base = base.astype(np.int64)
    total = np.zeros((len(points), 4), np.float32)
    for corner in np.ndindex(2, 2, 2):
        i, j, k = ((base[:, a] + corner[a]) % size for a in range(3))
        weight = np.ones(len(points), np.float32)
        for a in range(3):
            weight *= part[:, a] if corner[a] else 1 - part[:, a]
        total += weight[:, None] * flat[(i * size + j) * size + k]
    return total
