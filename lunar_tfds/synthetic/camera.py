"""The pinhole camera of a scene."""

import dataclasses

import numpy as np

from lunar_tfds import kaggle_layout

# Source: the dataset's author.
FIELD_OF_VIEW = np.radians(65.0)  # Across the width, rad.


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera; the world's z axis points up.

    Attributes:
        position: (x, y, z), m.
        yaw: heading from the world's x axis towards y, rad.
        pitch: above the horizontal, rad.
        roll: clockwise about the view axis, rad.
        height, width: of the image, px.
        field_of_view: across the width, rad.
    """

    position: tuple[float, float, float]
    yaw: float
    pitch: float
    roll: float
    height: int = kaggle_layout.FRAME_HEIGHT
    width: int = kaggle_layout.FRAME_WIDTH
    field_of_view: float = FIELD_OF_VIEW

    @property
    def pixel_angle(self) -> float:
        """The width of a pixel at unit depth."""
        return 2 * np.tan(self.field_of_view / 2) / self.width

    @property
    def axes(self) -> np.ndarray:
        """Returns float64 [3, 3]: the forward, right and down unit vectors."""
        cy, sy = np.cos(self.yaw), np.sin(self.yaw)
        cp, sp = np.cos(self.pitch), np.sin(self.pitch)
        forward = np.array([cy * cp, sy * cp, sp])
        right = np.array([sy, -cy, 0.0])
        down = np.array([cy * sp, sy * sp, -cp])
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        return np.stack([forward, cr * right + sr * down, cr * down - sr * right])

    @property
    def ray_basis(self) -> np.ndarray:
        """Returns float64 [3, 3], B with ray(row, column) = B[0] + c B[1] + r B[2].

        A ray advances by 1 along the view axis, so a distance along it is a depth.
        """
        forward, right, down = self.axes
        step = self.pixel_angle
        corner = forward - right * step * (self.width - 1) / 2
        corner = corner - down * step * (self.height - 1) / 2
        return np.stack([corner, right * step, down * step])

    def rays(self) -> np.ndarray:
        """Returns float32 [height * width, 3], the ray of each pixel's centre."""
        basis = self.ray_basis
        column = np.arange(self.width)[None, :, None]
        row = np.arange(self.height)[:, None, None]
        rays = basis[0] + column * basis[1] + row * basis[2]
        return rays.reshape(-1, 3).astype(np.float32)

    def project(self, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns where points lie in the image.

        Args:
            offsets: [..., 3], points relative to the camera, m.

        Returns:
            (column, row, depth), each [...]; px and m. Behind the camera the depth is
            not positive and column and row mean nothing.
        """
        forward, right, down = self.axes
        dots = [sum(offsets[..., i] * a[i] for i in range(3)) for a in self.axes]
        depth = dots[0]
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth) * self.pixel_angle
        column = dots[1] / safe + (self.width - 1) / 2
        row = dots[2] / safe + (self.height - 1) / 2
        return column, row, depth
