"""An evaluation as one HTML file: no network, no scripts, light and dark."""

import html
import math

from lunar_tfds import palette
from model.inference import pictures

# Width of a picture in the report, px: a frame's 720 would make it ten megabytes.
PICTURE_WIDTH = 480
# Fewer frames than this give an interval that says little.
FEW_FRAMES = 20

_STYLE = """
:root{color-scheme:light dark;--fg:#1d1d1f;--soft:#6b6b70;--bg:#fbfaf8;--card:#fff;
--line:#e3e1dc;--accent:#3b6ea8;--warn:#9a5b00}
@media(prefers-color-scheme:dark){:root{--fg:#ececee;--soft:#a0a0a8;--bg:#131316;
--card:#1c1c21;--line:#34343b;--accent:#7fb0e6;--warn:#e0a94e}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 20px 60px}
h1{font-size:27px;margin:0 0 4px}h2{font-size:19px;margin:44px 0 6px}
h3{font-size:15px;margin:22px 0 6px}p{margin:4px 0 12px;max-width:74ch}
.soft{color:var(--soft)}.warn{color:var(--warn)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));
gap:12px;margin:22px 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:12px 16px}.card b{display:block;font-size:26px;line-height:1.3}
.card span{color:var(--soft);font-size:13px}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(400px,1fr));gap:24px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:6px 10px;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--soft);font-size:13px}
th:first-child,td:first-child{text-align:left}.scroll{overflow-x:auto}
.dot{display:inline-block;width:11px;height:11px;border-radius:3px;
border:1px solid var(--soft);margin-right:7px;vertical-align:-1px}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--fg);font:12px system-ui,sans-serif}svg .soft{fill:var(--soft)}
.frame{display:grid;grid-template-columns:repeat(4,1fr);gap:6px;margin:0 0 4px}
.frame img{width:100%;display:block;border-radius:4px;background:#000}
figure{margin:0 0 20px}figcaption{font-size:13px;color:var(--soft)}
.key{white-space:nowrap;margin-left:10px}footer{margin-top:48px;font-size:13px;
color:var(--soft);border-top:1px solid var(--line);padding-top:14px}
@media(max-width:640px){.frame{grid-template-columns:repeat(2,1fr)}
.two{grid-template-columns:1fr}}
"""


def render(metrics, evaluation):
    """Returns the report as HTML text.

    Args:
        metrics: dict, what metrics.json holds.
        evaluation: `Evaluation`, for its worst and best frames.
    """
    title = f"{metrics['num_examples']} frames of {metrics['split']}"
    sections = [
        _heading(metrics, title),
        _cards(metrics),
        _comparison(metrics.get("comparison")),
        "<h2>By class</h2>",
        _class_table(metrics),
        '<div class="two"><section><h2>Confusion</h2>',
        "<p class=soft>Share of each true class's pixels, by what was predicted.</p>",
        _confusion_svg(metrics),
        "</section><section><h2>Calibration</h2>",
        _calibration(metrics),
        '</section></div><div class="two"><section><h2>By rock size</h2>',
        _sizes(metrics["rock_sizes"]),
        "</section><section><h2>By defect list</h2>",
        _defects(metrics["defect_lists"]),
        "</section></div>",
        _gallery("Worst frames", evaluation.worst),
        _gallery("Best frames", evaluation.best),
        _footer(metrics),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>Lunar rocks: {_text(title)}</title>'
        f"<style>{_STYLE}</style></head><body><main>"
        + "\n".join(sections)
        + "</main></body></html>\n"
    )


def _heading(metrics, title):
    extra = [f"<code>{metrics['mask']}</code> masks"]
    if metrics.get("protocol"):
        extra.append(f"protocol {metrics['protocol']}")
    extra.append("with" if metrics.get("tta") else "without")
    extra[-1] += " test-time augmentation"
    return (
        f"<h1>Lunar rock segmentation: {_text(title)}</h1><p class=soft>"
        f"{_text(metrics['checkpoint'])} &middot; {' &middot; '.join(extra)}</p>"
    )


def _cards(metrics):
    intervals = metrics["confidence_intervals_95"]
    names = {
        "mean_iou": "mean IoU",
        "rock_iou": "rock IoU",
        "mean_dice": "mean Dice",
        "pixel_accuracy": "pixel accuracy",
    }
    cards = [
        f'<div class="card"><span>{label}</span><b>{_number(metrics[name])}</b>'
        f"<span>{_interval(intervals[name])}</span></div>"
        for name, label in names.items()
    ]
    error = metrics["expected_calibration_error"]
    cards.append(
        f'<div class="card"><span>calibration error</span><b>{error:.4f}</b>'
        "<span>0 is best</span></div>"
    )
    note = ""
    if metrics["num_examples"] < FEW_FRAMES:
        note = (
            f'<p class="warn">Only {metrics["num_examples"]} frames: the intervals and '
            "any ranking rest on little.</p>"
        )
    return f'<div class="cards">{"".join(cards)}</div>{note}'


def _comparison(comparison):
    if not comparison:
        return ""
    verdict = "worse than" if comparison["worse"] else "not clearly worse than"
    rows = [
        [_text(name), _signed(item["change"]), _interval(item["interval_95"], True)]
        for name, item in comparison["changes"].items()
    ]
    return (
        f"<h2>Against the baseline</h2><p>This checkpoint is <b>{verdict}</b> "
        f"{_text(comparison['baseline'])} in mean IoU, by a paired bootstrap over the "
        f"frames.</p>{_table(['score', 'change', '95 % interval'], rows)}"
    )


def _class_table(metrics):
    intervals = metrics["confidence_intervals_95"]["iou_per_class"]
    truth = [sum(row) for row in metrics["confusion_matrix"]]
    rows = []
    for index, name in enumerate(metrics["class_names"]):
        color = "#{:02x}{:02x}{:02x}".format(*palette.CLASS_COLORS[index])
        rows.append(
            [
                f'<i class="dot" style="background:{color}"></i>{_word(name)}',
                _bar(metrics["iou_per_class"][name]),
                _number(metrics["iou_per_class"][name]),
                _interval(intervals[name]),
                _number(metrics["dice_per_class"][name]),
                f"{truth[index] / max(sum(truth), 1):.2%}",
            ]
        )
    head = ["class", "", "IoU", "95 % interval", "Dice", "of all pixels"]
    return _table(head, rows)


def _confusion_svg(metrics):
    names, matrix = metrics["class_names"], metrics["confusion_matrix"]
    cell, left, top = 84, 96, 34
    parts = []
    for row, counts in enumerate(matrix):
        y = top + row * cell
        parts.append(_svg_text(left - 10, y + cell / 2 + 4, _word(names[row]), "end"))
        parts.append(_svg_text(left + (row + 0.5) * cell, 20, _word(names[row])))
        for column, count in enumerate(counts):
            x, total = left + column * cell, sum(counts)
            share = count / total if total else 0
            label = f"{share:.1%}" if total else "absent"
            color = "var(--accent)" if row == column else "#d0553a"
            parts.append(
                f'<rect x="{x + 2}" y="{y + 2}" width="{cell - 4}" '
                f'height="{cell - 4}" rx="6" fill="{color}" '
                f'fill-opacity="{0.06 + 0.7 * math.sqrt(share):.3f}"><title>'
                f"{_word(names[row])} predicted as {_word(names[column])}: "
                f"{count:,} px</title></rect>"
            )
            parts.append(_svg_text(x + cell / 2, y + cell / 2 + 4, label))
    size = len(names) * cell
    return _svg(left + size, top + size, parts, "Confusion matrix")


def _calibration(metrics):
    bins = [b for b in metrics["calibration"] if b["pixels"]]
    total = sum(b["pixels"] for b in bins)
    side, left, top = 300, 44, 8
    parts = [
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" '
        'stroke="var(--line)"/>',
        f'<line x1="{left}" y1="{top + side}" x2="{left + side}" y2="{top}" '
        'stroke="var(--soft)" stroke-dasharray="4 4"/>',
    ]
    for b in bins:
        x, height = left + b["from"] * side, b["accuracy"] * side
        width = (b["to"] - b["from"]) * side
        parts.append(
            f'<rect x="{x + 1:.1f}" y="{top + side - height:.1f}" '
            f'width="{width - 2:.1f}" height="{height:.1f}" fill="var(--accent)" '
            f'fill-opacity="0.75"><title>confidence {b["confidence"]:.3f}, right '
            f"{b['accuracy']:.3f}, {b['pixels'] / total:.1%} of pixels</title></rect>"
        )
    for tick in (0, 0.5, 1):
        parts.append(_svg_text(left + tick * side, top + side + 18, f"{tick:g}"))
        y = top + side * (1 - tick) + 4
        parts.append(_svg_text(left - 8, y, f"{tick:g}", "end"))
    parts.append(_svg_text(left + side / 2, top + side + 36, "confidence"))
    sure = sum(b["pixels"] for b in bins if b["from"] >= 0.93) / total
    return (
        "<p class=soft>How often the likeliest class was right, by its probability; "
        f"on the dashed line the two agree. {sure:.0%} of the pixels lie in the "
        f"last bar.</p>{_svg(left + side + 90, top + side + 44, parts, 'Reliability')}"
    )


def _sizes(table):
    rows = [
        [
            _text(row["size"]),
            _bar(row["iou"]),
            _number(row["iou"]),
            f"{row['rocks']:,}",
            f"{row['rocks_found'] / row['rocks']:.0%}" if row["rocks"] else "-",
        ]
        for row in table
    ]
    return (
        "<p class=soft>Small and large rocks as one class, by the diameter of a disk "
        "of the rock's area. Found: at least half of its pixels predicted rock.</p>"
        + _table(["size", "", "IoU", "rocks", "found"], rows)
    )


def _defects(table):
    if not table:
        return (
            "<p class=soft>No frame here is on one of the author's defect lists, or "
            "the dataset was built without them.</p>"
        )
    rows = [
        [
            _text(name.replace("_", " ")),
            f"{row['num_examples']:,}",
            _number(row["mean_iou"]),
            _number(row["rock_iou"]),
        ]
        for name, row in table.items()
    ]
    return (
        "<p class=soft>Frames that the dataset's author lists as defective; one may "
        "be on several lists.</p>"
        + _table(["list", "frames", "mean IoU", "rock IoU"], rows)
    )


def _gallery(title, frames):
    if not frames:
        return ""
    legend = " ".join(
        f'<span class="key"><i class="dot" style="background:rgb{color}"></i>'
        f"{_text(name)}</span>"
        for name, color in {
            pictures.RIGHT_ROCK: pictures.RIGHT_ROCK_COLOR,
            **pictures.ERROR_COLORS,
        }.items()
    )
    figures = [_figure(frame) for frame in frames]
    return (
        f'<h2>{title}</h2><p class="soft" style="max-width:none">Image, truth, '
        f"prediction, errors: {legend}</p>" + "".join(figures)
    )


def _figure(frame):
    image = pictures.fit_to(frame.image, frame.mask.shape)
    panels = {
        "image": (image, True),
        "truth": (palette.colorize(frame.mask), False),
        "prediction": (palette.colorize(frame.predicted_mask), False),
        "errors": (pictures.error_map(image, frame.mask, frame.predicted_mask), True),
    }
    tags = [
        f'<img alt="{name} of {_text(frame.frame_id)}" '
        f'src="{pictures.data_uri(pixels, width=PICTURE_WIDTH, photo=photo)}">'
        for name, (pixels, photo) in panels.items()
    ]
    return (
        f'<figure><div class="frame">{"".join(tags)}</div><figcaption>'
        f"{_text(frame.frame_id)}: mean IoU {_number(frame.mean_iou)}"
        "</figcaption></figure>"
    )


def _footer(metrics):
    dataset = metrics.get("dataset") or {}
    known = ", ".join(f"{key} {value}" for key, value in dataset.items() if value)
    return (
        "<footer><p>Scores are of confusion counts summed over all frames, at each "
        "mask's own resolution. IoU = TP / (TP + FP + FN), Dice = 2 TP / (2 TP + FP + "
        "FN); a class that occurs in neither truth nor prediction has none and is "
        "left out of the means. Intervals: 95 % bootstrap over frames. Calibration "
        f"error: 15 equal bins of the likeliest class's probability.</p><p>"
        f"{_text(known)}</p></footer>"
    )


def _table(head, rows):
    cells = "".join(f"<th>{name}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _bar(value):
    width = 0 if value is None else 120 * value
    return (
        '<svg viewBox="0 0 120 10" style="width:120px" role="img" aria-label="bar">'
        '<rect width="120" height="10" rx="3" fill="var(--line)"/>'
        f'<rect width="{width:.1f}" height="10" rx="3" fill="var(--accent)"/></svg>'
    )


def _svg(width, height, parts, label):
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}" '
        f'style="max-width:{width}px">{"".join(parts)}</svg>'
    )


def _svg_text(x, y, text, anchor="middle"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _number(value):
    absent = value is None or math.isnan(value)
    return '<span class="soft">absent</span>' if absent else f"{value:.4f}"


def _signed(value):
    return "-" if value is None else f"{value:+.4f}"


def _interval(bounds, signed=False):
    if bounds is None:
        return "-"
    low, high = (f"{b:+.4f}" if signed else f"{b:.3f}" for b in bounds)
    return f"{low} to {high}"


def _word(name):
    return _text(name.replace("_", " "))


def _text(value):
    return html.escape(str(value))
