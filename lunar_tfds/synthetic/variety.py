"""Which features are drawn how often, in one place, and the styles to choose from."""

import dataclasses

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Variety:
    """What scenes of one style differ in.

    Attributes:
        boulders: share of scenes with one to three boulders that stand out.
        fields: share with a dense field of small rocks, out to the horizon.
        sparse: share whose small rocks are few.
        strewn: share with large rocks strewn about.
        stony: share whose stones near the camera are mostly too small for a label, as
            in the dataset: labelled rocks are few there.
        touching: share of the labelled rocks that others lean on.
        shapes: weights of chunks, pyramids, domes and slabs, see `shapes.draw_shapes`.
        roundedness: of the chunks, from 0 for wedges to 1 for near-spheres.
        flatness: height of a strewn rock over its length.
        rock_power: fall of the count of small rocks with their size.
        hills: share of scenes with hills on the skyline.
        bends: share whose horizon is bent: in a crater or on top of a mound.
        massifs: share that a steep hill between them and the sun shades.
        flanks: share on a slope that the sunlight only grazes.
        low_cameras: share seen from half a metre to one above the ground.
        sun: low, middle and high elevation, degrees; a quarter of the suns stands above
            the middle.
        lunar: weight of the Lommel-Seeliger term, see `shading.Light`.
        rock_brightness: albedo of rock over that of ground.
        mottling: standard deviation of rock's albedo, over its mean.
        pebbly: how far the ground's grain is drawn together into pebbles.
        photos: share that looks like a photo: shadows not black, dust in the air.
        tracks: share with the tracks of a rover.
    """

    boulders: float = 0.4
    fields: float = 0.35
    sparse: float = 0.25
    strewn: float = 0.63
    stony: float = 0.0
    touching: float = 0.2
    shapes: tuple[float, float, float, float] = (0.45, 0.2, 0.15, 0.2)
    roundedness: Range = (0.2, 1.0)
    flatness: Range = (0.35, 1.0)
    rock_power: Range = (0.8, 2.1)
    hills: float = 0.5
    bends: float = 0.3
    massifs: float = 0.15
    flanks: float = 0.1
    low_cameras: float = 0.05
    # Author: three quarters of the suns stand at 20 to 40 degrees, the rest at 40-50.
    sun: tuple[float, float, float] = (20.0, 40.0, 50.0)
    lunar: Range = (0.05, 0.35)
    rock_brightness: Range = (1.0, 1.5)
    mottling: Range = (0.02, 0.07)
    pebbly: Range = (0.0, 1.0)
    photos: float = 0.15
    tracks: float = 0.08


STANDARD = "standard"
# `stony` has what the dataset leaves unlabelled near the camera, so that a model learns
# not to take every stone for a rock; `photo` has that, soft light, speckled boulders,
# as photos of the Moon have. `other` is meant for validation, as a stand-in for
# pictures unlike those trained on: rounder, flatter rocks as dark as the ground, and
# light that shades less.
STYLES = {
    STANDARD: Variety(),
    "stony": Variety(stony=0.8),
    "photo": Variety(
        boulders=0.7,
        stony=0.8,
        massifs=0.0,
        flanks=0.0,
        low_cameras=0.15,
        mottling=(0.05, 0.25),
        photos=1.0,
        tracks=0.15,
    ),
    "other": Variety(
        boulders=0.3,
        touching=0.35,
        shapes=(0.7, 0.0, 0.3, 0.0),
        roundedness=(0.7, 1.4),
        flatness=(0.3, 0.7),
        rock_power=(1.6, 2.5),
        bends=0.6,
        low_cameras=0.25,
        sun=(15.0, 45.0, 65.0),
        lunar=(0.5, 0.9),
        rock_brightness=(0.8, 1.4),
        photos=0.4,
        tracks=0.2,
    ),
}
