"""Which features are drawn how often, in one place, and the styles to choose from."""

import dataclasses

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Variety:
    """What scenes of one style differ in.

    Attributes:
        has_sky: whether all scenes but those of one slot show sky, see `scene.NO_SKY`.
        field_of_view: of the camera, across the width, degrees.
        camera_height: above the ground, m.
        small_rocks: per square metre.
        small_radii: half the width of the smallest and of the largest small rock, m.
        small_power: the count of small rocks wider than r falls as r**-power.
        large_rocks: per square metre, from a distance on.
        large_start: that distance, m.
        pebbles: unlabelled stones per square metre.
        clumping: 0 for evenly strewn rocks, 1 for dense fields and bare patches.
        giants: share of scenes with one to three boulders that stand out.
        touching: share of the labelled rocks that others lean on.
        shapes: weights of chunks, pyramids, domes and slabs, see `shapes.draw_shapes`.
        roundedness: of the chunks, from 0 for wedges to 1 for near-spheres.
        flatness: height of a small rock over its width.
        buried: height of a rock's centre over the ground, in halves of its height.
        label_widths: labels by the width in the picture, px at 720 px: below the first
            a stone has no label, from the second on it is large; () labels by the width
            on the ground, see `rocks.LEAST_RADII`.
        hills: share of scenes with hills on the skyline.
        bends: share whose horizon is bent: in a crater or on top of a mound.
        massifs: share that a steep hill between them and the sun shades.
        flanks: share on a slope that the sunlight only grazes.
        roughness: root-mean-square slope that each octave of terrain adds, the median.
        grain: slope of the ground's grain.
        pebbly: how far the ground's grain is drawn together into pebbles.
        sun: low, middle and high elevation, degrees; a quarter of the suns stands above
            the middle.
        gain: grey level of level ground under a vertical sun.
        lunar: weight of the Lommel-Seeliger term, see `shading.Light`.
        rock_brightness: albedo of rock over that of ground.
        mottling: standard deviation of rock's albedo, over its mean.
        black_shadows: share of scenes whose shadows are black.
        ambient: light in the shadows of the others, over the sun's.
        bounce: light that the ground throws on the sides of rocks, over the sun's.
        veil: contrast lost in dust.
        browns: how far the ground's colour is from grey.
        noise: of the sensor, grey levels.
        tracks: share with the tracks of a rover.
    """

    has_sky: bool = True
    field_of_view: Range = (65.0, 65.0)
    camera_height: Range = (0.6, 1.2)
    small_rocks: Range = (0.85, 2.9)
    small_radii: Range = (0.11, 0.41)
    small_power: Range = (0.4, 1.9)
    large_rocks: Range = (0.02, 0.07)
    large_start: Range = (6.0, 20.0)
    pebbles: Range = (10.0, 200.0)
    clumping: Range = (0.0, 0.5)
    giants: float = 0.4
    touching: float = 0.08
    shapes: tuple[float, float, float, float] = (0.55, 0.15, 0.15, 0.15)
    roundedness: Range = (0.0, 0.8)
    flatness: Range = (0.45, 1.05)
    buried: Range = (-0.4, 0.3)
    label_widths: tuple[Range, ...] = ()
    hills: float = 0.5
    bends: float = 0.4
    massifs: float = 0.05
    flanks: float = 0.05
    roughness: float = 0.026
    grain: Range = (0.03, 0.09)
    pebbly: Range = (0.0, 1.0)
    # Author: three quarters of the suns stand at 20 to 40 degrees, the rest at 40-50.
    sun: tuple[float, float, float] = (20.0, 40.0, 50.0)
    gain: Range = (85.0, 215.0)
    lunar: Range = (0.05, 0.35)
    rock_brightness: Range = (1.05, 1.45)
    mottling: Range = (0.02, 0.07)
    black_shadows: float = 0.45
    ambient: Range = (0.0, 0.15)
    bounce: Range = (0.05, 0.35)
    veil: Range = (0.0, 0.0)
    browns: Range = (0.0, 0.0)
    noise: Range = (0.0, 0.0)
    tracks: float = 0.05


STANDARD = "standard"
# `photo` follows photos taken on the Moon: a narrow view of strongly grained soil,
# light in the shadows, colour, and labels for what is wide in the picture alone.
STYLES = {
    STANDARD: Variety(),
    "photo": Variety(
        has_sky=False,
        field_of_view=(18.0, 50.0),
        camera_height=(1.2, 2.0),
        small_rocks=(5.0, 28.0),
        small_radii=(0.02, 0.6),
        small_power=(1.25, 2.0),
        large_rocks=(0.0, 0.0),
        pebbles=(10.0, 150.0),
        clumping=(0.0, 0.8),
        giants=0.75,
        touching=0.3,
        shapes=(0.7, 0.05, 0.1, 0.15),
        roundedness=(0.1, 1.0),
        flatness=(0.3, 0.9),
        buried=(-0.7, 0.1),
        label_widths=((16.0, 26.0), (33.0, 50.0)),
        bends=0.1,
        massifs=0.0,
        flanks=0.0,
        roughness=0.024,
        grain=(0.06, 0.17),
        pebbly=(0.3, 1.0),
        gain=(80.0, 170.0),
        rock_brightness=(1.1, 1.9),
        mottling=(0.05, 0.3),
        black_shadows=0.25,
        ambient=(0.02, 0.3),
        bounce=(0.05, 0.3),
        veil=(0.0, 0.2),
        browns=(0.0, 1.0),
        noise=(0.0, 4.0),
        tracks=0.15,
    ),
}
