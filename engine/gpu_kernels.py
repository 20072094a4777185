"""The kernels of `engine.gpu_norms`, in Triton. Memory is (pictures, pixels, channels), a row is a pixel.

`parts`, (pictures, chunks, 2, groups) fp32, carries two numbers per group from a first pass to a second.
"""

# ruff: noqa: ANN001, ANN201, ANN202, N803 - Triton reads annotations of its own only; its constants are capitals

import triton  # pyright: ignore[reportMissingImports]
from triton import language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def _load(at, index, mask):
    return tl.load(at + index, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _shift_of(shift, channel, inside):
    if shift is None:
        return tl.zeros_like(channel).to(tl.float32)
    else:  # noqa: RET505 - Triton reads on past a return
        return _load(shift, channel, inside)


@triton.jit
def _joined(grad, past, index, mask):
    """Add the gradient that came past the norm, where there is one."""
    if past is None:
        return grad
    else:  # noqa: RET505 - Triton reads on past a return
        return grad + _load(past, index, mask)


@triton.jit
def _silu(x, SILU: tl.constexpr):
    return x * tl.sigmoid(x) if SILU else x


@triton.jit
def _through_silu(grad, x, SILU: tl.constexpr):
    """Carry a gradient back through SiLU at x."""
    if SILU:
        s = tl.sigmoid(x)
        grad *= s * (1 + x * (1 - s))
    return grad


@triton.jit
def _members(per_group, inside, SPAN: tl.constexpr, GROUPS: tl.constexpr):
    """Return which channel of a span belongs to which of its groups, (GROUPS, SPAN)."""
    return (tl.arange(0, GROUPS)[:, None] == (tl.arange(0, SPAN) // per_group)[None, :]) & inside[None, :]


@triton.jit
def _by_group(values, member):
    """Add up values per channel to one per group."""
    return tl.sum(tl.where(member, values[None, :], 0.0), 1)


@triton.jit
def _by_channel(values, member):
    """Give every channel its group's value."""
    return tl.sum(tl.where(member, values[:, None], 0.0), 0)


@triton.jit
def _leave(parts, first, second, block, per_group, span, channels, GROUPS: tl.constexpr):
    """Store a program's two numbers per group."""
    group = tl.arange(0, GROUPS)
    groups, index = channels // per_group, block * (span // per_group) + group
    here = (group < span // per_group) & (index < groups)
    at = (tl.program_id(2) * tl.num_programs(0) + tl.program_id(0)) * 2 * groups
    tl.store(parts + at + index, first, mask=here)
    tl.store(parts + at + groups + index, second, mask=here)


@triton.jit
def _gather(parts, block, per_group, span, channels, PARTS: tl.constexpr, GROUPS: tl.constexpr):
    """Load the two numbers per group of all chunks, (PARTS, GROUPS) each."""
    group, part = tl.arange(0, GROUPS)[None, :], tl.arange(0, PARTS)[:, None]
    groups, index = channels // per_group, block * (span // per_group) + group
    here = (part < tl.num_programs(0)) & (group < span // per_group) & (index < groups)
    at = (tl.program_id(2) * tl.num_programs(0) + part) * 2 * groups + index
    return _load(parts, at, here), _load(parts, at + groups, here)


@triton.jit(do_not_specialize=["per_group"])
def measure(
    x, shift, parts, pixels, channels, per_group, span, chunk,
    ROWS: tl.constexpr, SPAN: tl.constexpr, GROUPS: tl.constexpr,
):  # fmt: skip
    """Leave every group's mean and sum of squared distances from it, by Welford's and Chan's updates."""
    column, block = tl.arange(0, SPAN), tl.program_id(1)
    channel = block * span + column
    inside = (column < span) & (channel < channels)
    x += tl.program_id(2).to(tl.int64) * pixels * channels
    first = tl.program_id(0) * chunk
    last = tl.minimum(first + chunk, pixels)
    mean, spread = tl.zeros((ROWS, SPAN), tl.float32), tl.zeros((ROWS, SPAN), tl.float32)
    turn = 0.0
    for top in range(first, last, ROWS):
        row = top + tl.arange(0, ROWS)
        here = (row < last)[:, None] & inside[None, :]
        value = _load(x, row[:, None] * channels + channel[None, :], here)
        turn += 1.0
        off = tl.where(here, value - mean, 0.0)
        mean += off * (1.0 / turn)
        spread += off * (value - mean)
    rows = (last - first).to(tl.float32)
    count = ((last - first - tl.arange(0, ROWS) + ROWS - 1) // ROWS).to(tl.float32)[:, None]  # of values in each slot
    of_channel = tl.sum(mean * count, 0) / rows
    off = mean - of_channel[None, :]
    spread_of_channel = tl.sum(spread + count * off * off, 0)
    of_channel += _shift_of(shift, channel, inside)
    member = _members(per_group, inside, SPAN, GROUPS)
    of_group = _by_group(of_channel, member) / per_group
    away = of_channel - _by_channel(of_group, member)
    spread_of_group = _by_group(spread_of_channel + rows * away * away, member)
    _leave(parts, of_group, spread_of_group, block, per_group, span, channels, GROUPS)


@triton.jit(do_not_specialize=["per_group"])
def apply(
    x, shift, weight, bias, parts, out, mean, rstd, pixels, channels, per_group, span, chunk, eps,
    SILU: tl.constexpr, PARTS: tl.constexpr, ROWS: tl.constexpr, SPAN: tl.constexpr, GROUPS: tl.constexpr,
):  # fmt: skip
    """Put the parts together and normalise."""
    column, block = tl.arange(0, SPAN), tl.program_id(1)
    channel = block * span + column
    inside = (column < span) & (channel < channels)
    means, spreads = _gather(parts, block, per_group, span, channels, PARTS, GROUPS)
    count = tl.minimum(tl.maximum(pixels - tl.arange(0, PARTS) * chunk, 0), chunk).to(tl.float32)[:, None]
    middle = tl.sum(means * count, 0) / pixels
    off = means - middle[None, :]
    variance = tl.sum(spreads + per_group * count * off * off, 0) / per_group / pixels
    sharp = tl.rsqrt(variance + eps)
    member = _members(per_group, inside, SPAN, GROUPS)
    if tl.program_id(0) == 0:
        group = tl.arange(0, GROUPS)
        groups, index = channels // per_group, block * (span // per_group) + group
        here = (group < span // per_group) & (index < groups)
        tl.store(mean + tl.program_id(2) * groups + index, middle, mask=here)
        tl.store(rstd + tl.program_id(2) * groups + index, sharp, mask=here)
    scale = _by_channel(sharp, member) * _load(weight, channel, inside)
    lift = (_shift_of(shift, channel, inside) - _by_channel(middle, member)) * scale + _load(bias, channel, inside)
    start = tl.program_id(2).to(tl.int64) * pixels * channels
    first = tl.program_id(0) * chunk
    last = tl.minimum(first + chunk, pixels)
    bottom = first + (last - first - 1) // ROWS * ROWS
    for done in range(0, last - first, ROWS):  # from below, where the first pass ended: that is still in the cache
        row = bottom - done + tl.arange(0, ROWS)
        here = (row < last)[:, None] & inside[None, :]
        at = row[:, None] * channels + channel[None, :]
        value = _load(x + start, at, here) * scale[None, :] + lift[None, :]
        tl.store(out + start + at, _silu(value, SILU), mask=here)


@triton.jit(do_not_specialize=["per_group"])
def measure_back(
    grad, x, shift, weight, bias, mean, rstd, parts, pixels, channels, per_group, span, chunk,
    SILU: tl.constexpr, ROWS: tl.constexpr, SPAN: tl.constexpr, GROUPS: tl.constexpr,
):  # fmt: skip
    """Leave every group's sums of g and of g * normed, where g is the gradient to `normed`, weighted."""
    column, block = tl.arange(0, SPAN), tl.program_id(1)
    channel = block * span + column
    inside = (column < span) & (channel < channels)
    group = tl.program_id(2) * (channels // per_group) + channel // per_group
    sharp, w, b = _load(rstd, group, inside), _load(weight, channel, inside), _load(bias, channel, inside)
    lift = (_shift_of(shift, channel, inside) - _load(mean, group, inside)) * sharp
    start = tl.program_id(2).to(tl.int64) * pixels * channels
    first = tl.program_id(0) * chunk
    last = tl.minimum(first + chunk, pixels)
    plain, moment = tl.zeros((ROWS, SPAN), tl.float32), tl.zeros((ROWS, SPAN), tl.float32)
    for top in range(first, last, ROWS):
        row = top + tl.arange(0, ROWS)
        here = (row < last)[:, None] & inside[None, :]
        at = row[:, None] * channels + channel[None, :]
        normed = _load(x + start, at, here) * sharp[None, :] + lift[None, :]
        inner = _through_silu(_load(grad + start, at, here), normed * w[None, :] + b[None, :], SILU)
        plain += inner
        moment += inner * normed
    member = _members(per_group, inside, SPAN, GROUPS)
    first_sum = _by_group(tl.sum(plain, 0) * w, member)
    second_sum = _by_group(tl.sum(moment, 0) * w, member)
    _leave(parts, first_sum, second_sum, block, per_group, span, channels, GROUPS)


@triton.jit(do_not_specialize=["per_group"])
def apply_back(
    grad, x, shift, weight, bias, mean, rstd, past, parts, out, pixels, channels, per_group, span, chunk,
    SILU: tl.constexpr, PARTS: tl.constexpr, ROWS: tl.constexpr, SPAN: tl.constexpr, GROUPS: tl.constexpr,
):  # fmt: skip
    """Put the parts together: dx = rstd * (g - mean(g) - normed * mean(g * normed)), means by group."""
    column, block = tl.arange(0, SPAN), tl.program_id(1)
    channel = block * span + column
    inside = (column < span) & (channel < channels)
    group = tl.program_id(2) * (channels // per_group) + channel // per_group
    sharp, w, b = _load(rstd, group, inside), _load(weight, channel, inside), _load(bias, channel, inside)
    lift = (_shift_of(shift, channel, inside) - _load(mean, group, inside)) * sharp
    sums, moments = _gather(parts, block, per_group, span, channels, PARTS, GROUPS)
    member = _members(per_group, inside, SPAN, GROUPS)
    plain = _by_channel(tl.sum(sums, 0) / per_group / pixels, member)
    moment = _by_channel(tl.sum(moments, 0) / per_group / pixels, member)
    start = tl.program_id(2).to(tl.int64) * pixels * channels
    first = tl.program_id(0) * chunk
    last = tl.minimum(first + chunk, pixels)
    bottom = first + (last - first - 1) // ROWS * ROWS
    for done in range(0, last - first, ROWS):  # from below, as above
        row = bottom - done + tl.arange(0, ROWS)
        here = (row < last)[:, None] & inside[None, :]
        at = row[:, None] * channels + channel[None, :]
        normed = _load(x + start, at, here) * sharp[None, :] + lift[None, :]
        inner = _through_silu(_load(grad + start, at, here), normed * w[None, :] + b[None, :], SILU) * w[None, :]
        slope = sharp[None, :] * (inner - plain[None, :] - normed * moment[None, :])
        tl.store(out + start + at, _joined(slope, past, start + at, here), mask=here)


@triton.jit
def hold(
    x, shift, weight, bias, out, mean, rstd, pixels, channels, per_group, eps,
    SILU: tl.constexpr, ROWS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Normalise one group of one picture."""
    row, column = tl.arange(0, ROWS)[:, None], tl.arange(0, SPAN)
    inside = column < per_group
    channel = tl.program_id(0) * per_group + column
    here = (row < pixels) & inside[None, :]
    at = (tl.program_id(1) * pixels + row).to(tl.int64) * channels + channel[None, :]
    value = _load(x, at, here) + _shift_of(shift, channel, inside)[None, :]
    value = tl.where(here, value, 0.0)
    middle = tl.sum(tl.sum(value, 1), 0) / pixels / per_group
    off = tl.where(here, value - middle, 0.0)
    sharp = tl.rsqrt(tl.sum(tl.sum(off * off, 1), 0) / pixels / per_group + eps)
    group = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    tl.store(mean + group, middle)
    tl.store(rstd + group, sharp)
    scaled = off * (sharp * _load(weight, channel, inside))[None, :] + _load(bias, channel, inside)[None, :]
    tl.store(out + at, _silu(scaled, SILU), mask=here)


@triton.jit
def hold_back(
    grad, x, shift, weight, bias, mean, rstd, past, out, pixels, channels, per_group,
    SILU: tl.constexpr, ROWS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Return the gradient to one group of one picture."""
    row, column = tl.arange(0, ROWS)[:, None], tl.arange(0, SPAN)
    inside = column < per_group
    channel = tl.program_id(0) * per_group + column
    here = (row < pixels) & inside[None, :]
    at = (tl.program_id(1) * pixels + row).to(tl.int64) * channels + channel[None, :]
    group = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    sharp = tl.load(rstd + group)
    w, b = _load(weight, channel, inside)[None, :], _load(bias, channel, inside)[None, :]
    normed = (_load(x, at, here) + _shift_of(shift, channel, inside)[None, :] - tl.load(mean + group)) * sharp
    inner = _through_silu(_load(grad, at, here), normed * w + b, SILU) * w
    plain = tl.sum(tl.sum(inner, 1), 0) / pixels / per_group
    moment = tl.sum(tl.sum(inner * normed, 1), 0) / pixels / per_group
    tl.store(out + at, _joined(sharp * (inner - plain - normed * moment), past, at, here), mask=here)


@triton.jit
def add(first, second, bias, out, rows, channels, ROWS: tl.constexpr, SPAN: tl.constexpr):
    """Add two maps and a bias per channel."""
    row, channel = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * SPAN + tl.arange(0, SPAN)
    inside = channel < channels
    here = (row < rows)[:, None] & inside[None, :]
    at = row.to(tl.int64)[:, None] * channels + channel[None, :]
    lift = _load(bias, channel, inside)
    tl.store(out + at, _load(first, at, here) + _load(second, at, here) + lift[None, :], mask=here)
