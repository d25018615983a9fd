"""Vector code for each row of the table of operations: a function of the row's name, on `Lanes`.

At 0, infinities, nan, ties and domain ends each does what the row does; elsewhere it is right to 4 units in the last
place over the whole range, subnormal results included. Functions that are alike share a core. What differs between
float64 and float32 stands in `Format`; rows that few programs spend time in are computed `in_doubles` for both.
Operands that take more care (an exponential out of range, the logarithm of 0, the sine of 1e10) are behind a branch,
taken if one lane has such an operand; all else is the same instructions for every lane. The coefficients of each
polynomial are its minimax fit (Remez's exchange, in 40 digits or more), rounded; what it fits, and where, stands
beside it.
Sources:

    Cody and Waite, Software Manual for the Elementary Functions, 1980 (reduction by a constant in two or three parts)
    Tang, ACM TOMS 15 and 16, 1989 and 1990 (exp and log on small intervals)
    Payne and Hanek, SIGNUM Newsletter 18, 1983 (sines of large arguments)
    Dekker, Numerische Mathematik 18, 1971 (sums of two doubles)
    Shepherd and Laframboise, Mathematics of Computation 36, 1981 (erfc)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from math import inf, nan
from typing import Any

from llvmlite import ir

from .lanes import (
    DOUBLE,
    SINGLE,
    Bits,
    Lanes,
    Mask,
    Vector,
    absolute,
    at_least,
    at_most,
    call_intrinsic,
    copysign,
    fma,
    is_equal,
    is_nan,
    polynomial,
    root,
    round_down,
    round_even,
    round_up,
    seldom,
    select,
)

# Constants in two parts are c = C + C_LOW to 106 bits.
LN2, LN2_LOW = 0.6931471805599453, 2.3190468138462996e-17
PER_LN2, PER_LN2_LOW = 1.4426950408889634, 2.0355273740931033e-17
LOG10_2, LOG10_2_LOW = 0.3010299956639812, -2.8037281277851704e-18
PER_LN10, PER_LN10_LOW = 0.4342944819032518, 1.098319650216765e-17
HALF_PI, HALF_PI_LOW, HALF_PI_LOWER = 1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33
TWO_THIRDS, TWO_THIRDS_LOW = 0.6666666666666666, 3.700743415417188e-17
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

SIGN, FRACTION = 1 << 63, (1 << 52) - 1
ROUND = 1.5 * 2.0**52  # adding it rounds to a whole number k, and leaves k modulo 2**51 in the lowest bits
NORMAL = 2.0**-1022

# (e**r - 1 - r)/r**2 for |r| <= ln(2)/2
EXP = (
    0.5000000000000006, 0.16666666666666688, 0.041666666666573496, 0.008333333333313932, 0.001388888893243853,
    0.00019841269904396155, 2.4801504370685796e-05, 2.7557226796093567e-06, 2.7626355885434846e-07,
    2.5114821665207087e-08,
)  # fmt: skip
EXP_SINGLE = (0.5, 0.16666576266288757, 0.04166637361049652, 0.008363175205886364, 0.0013941115466877818)
# (2*atanh(s) - 2*s)/s**3 in s**2, for |s| <= 3 - 2*sqrt(2)
LOG = (
    0.6666666666666726, 0.39999999999457203, 0.2857142873436633, 0.22222199296957498, 0.18183530486580107,
    0.15314841732662074, 0.14788632685491607,
)  # fmt: skip
LOG_SINGLE = (0.6666668653488159, 0.39988717436790466, 0.2958204746246338)
# the same for |s| <= 1/3
LOG_WIDE = (
    0.6666666666667252, 0.39999999997275326, 0.2857142895226595, 0.2222219747913518, 0.1818270197929591,
    0.15365922335723606, 0.13572456545239797, 0.09966851369143159, 0.17615889135123458,
)  # fmt: skip
LOG_WIDE_SINGLE = (0.6666663885116577, 0.40007781982421875, 0.2823127806186676, 0.268836110830307)
# (2*atanh(s) - 2*s - 2*s**3/3)/s**5 in s**2, for |s| <= 3 - 2*sqrt(2)
LOG_LONG = (
    0.40000000000001384, 0.28571428570454316, 0.22222222464521535, 0.18181788700245083, 0.15386576154135947,
    0.13260691507493386, 0.13163018520480843,
)  # fmt: skip
# (sin(r) - r)/r**3, (cos(r) - 1 + r**2/2)/r**4 in r**2, for |r| <= pi/4
SIN = (
    -0.16666666666666632, 0.008333333333322568, -0.00019841269829909858, 2.7557313722498574e-06,
    -2.5050762363487107e-08, 1.5897018256538863e-10,
)  # fmt: skip
COS = (
    0.0416666666666666, -0.001388888888887426, 2.4801587289555036e-05, -2.755731437095249e-07,
    2.087572555664743e-09, -1.1359756122203208e-11,
)  # fmt: skip
# (atan(t) - t)/t**3 in t**2, for |t| <= tan(pi/8)
ATAN = (
    -0.3333333333333087, 0.19999999999226578, -0.14285714204901556, 0.11111106997427117, -0.09090789516255199,
    0.07690158362943147, -0.0664183255674712, 0.05695952589311698, -0.043682033276756224, 0.02136349021433792,
)  # fmt: skip
# (asin(s) - s)/s**3 in s**2, for |s| <= 1/2
ASIN = (
    0.16666666666665653, 0.0750000000029457, 0.044642856856061966, 0.030381958190278956, 0.022371777405273442,
    0.017359450518004606, 0.013887459008520548, 0.012156115981643744, 0.006579322969646034, 0.019399732123259558,
    -0.016038371169785626, 0.031794086872559156,
)  # fmt: skip
# (sinh(x) - x)/x**3 in x**2, for |x| <= 1
SINH = (
    0.16666666666666669, 0.00833333333333314, 0.00019841269841436386, 2.7557319155683527e-06, 2.505212335059556e-08,
    1.605724365550403e-10, 7.759221657611437e-13,
)  # fmt: skip
# erf(x)/x in x**2, for |x| <= 1
ERF = (
    1.1283791670955126, -0.3761263890318355, 0.11283791670945253, -0.02686617064327622, 0.005223977607423468,
    -0.0008548325989696758, 0.00012055295320494294, -1.4924744663335489e-05, 1.6447517677871873e-06,
    -1.6209175911748696e-07, 1.3722976265924504e-08, -7.801188874097751e-10,
)  # fmt: skip
# ERFC_SCALE*(x + 1/2)*exp(x**2)*erfc(x) in (x - 3)/(x + 3), for 0 <= x <= 28. It is from 0.7 to 0.95, for the scale is
# such that the first coefficient and scale*sqrt(2) are almost doubles, and rounding takes little from large mantissas.
ERFC_SCALE = 737 / 512
ERFC = (
    0.9018231825632722, -0.09761011251349205, -0.034231846619621115, 0.09330906441785441, -0.08584442376674353,
    0.049163101713099955, -0.017108270989875326, 0.0018204704517627238, 0.0013593406025716576, -0.0005612657883952936,
    -7.56861651341308e-05, 9.003624207422052e-05, 3.5615750680936362e-06, -1.4463375390805484e-05,
    -5.241062478868034e-07, 2.491709169181695e-06, 2.5150374766648643e-07, -4.3367312399177313e-07,
    -9.425361024496178e-08, 6.488866552864015e-08, 2.334200413147183e-08, -5.752048875920474e-09,
    -2.8652565402095265e-09,
)  # fmt: skip
# cbrt(m) for sqrt(1/2) <= m <= sqrt(2)
CBRT = (
    0.4216834040716794, 1.0560444122056183, -0.836122779833391, 0.5110128462150261, -0.17957727027422357,
    0.02695839876183571,
)  # fmt: skip


@dataclass(frozen=True)
class Format:
    """A kind of float: what the functions that have code of their own for it ask of it."""

    digits: int  # of the fraction
    bias: int
    root_of_half: int  # the bits of sqrt(1/2)
    ln2: tuple[float, float]  # in two parts
    exp: tuple[float, ...]
    log: tuple[float, ...]
    log_wide: tuple[float, ...]
    safe: float  # e**x is normal for |x| up to here
    far: float  # e**x overflows, x*e**-x vanishes from here on
    full: float  # e**x is infinite here, half of it is not
    flat: float  # e**-x is nothing beside 1 from here on

    @property
    def round(self) -> float:
        """Adding it rounds to a whole number k, whose lower bits are then the lowest bits."""
        return 1.5 * 2.0**self.digits

    @property
    def normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    @property
    def exponent(self) -> int:
        """The bits of the exponent; to add k << digits to bits multiplies by 2**k."""
        return (2 * self.bias + 1) << self.digits

    @property
    def one(self) -> int:
        """The bits of 1."""
        return self.bias << self.digits


_FORMATS = {
    DOUBLE: Format(
        digits=52, bias=1023, root_of_half=0x3FE6A09E667F3BCD, ln2=(LN2, LN2_LOW), exp=EXP, log=LOG, log_wide=LOG_WIDE,
        safe=708.0, far=1000.0, full=710.0, flat=50.0,
    ),
    SINGLE: Format(
        digits=23, bias=127, root_of_half=0x3F3504F3, ln2=(0.6931471824645996, -1.9046542121259336e-09),
        exp=EXP_SINGLE, log=LOG_SINGLE, log_wide=LOG_WIDE_SINGLE, safe=87.0, far=150.0, full=89.0, flat=30.0,
    ),
}  # fmt: skip


def _format(x: Vector) -> Format:
    return _FORMATS[x.element]


def in_doubles(function: Callable[..., Lanes]) -> Callable[..., Lanes]:
    """The function, which knows doubles alone, for floats of either kind."""

    @wraps(function)
    def either(*xs: Lanes) -> Lanes:
        if xs[0].element is not SINGLE:
            return function(*xs)
        builder, single = xs[0].builder, xs[0].value.type
        double = ir.VectorType(DOUBLE, single.count)
        found = function(*[Lanes(builder, builder.fpext(x.value, double)) for x in xs])
        return Lanes(builder, builder.fptrunc(found.value, single))

    return either


# Arithmetic


def add(x: Lanes, y: Lanes) -> Lanes:
    return x + y


def sub(x: Lanes, y: Lanes) -> Lanes:
    return x - y


def mul(x: Lanes, y: Lanes) -> Lanes:
    return x * y


def div(x: Lanes, y: Lanes) -> Lanes:
    return x / y


def neg(x: Lanes) -> Lanes:
    return -x


def abs(x: Lanes) -> Lanes:
    return absolute(x)


# Exponentials


def _expm1_near_0(r: Lanes) -> Lanes:
    """e**r - 1 for |r| <= ln(2)/2."""
    return fma(r * r, polynomial(r, _format(r).exp), r)


def _reduced(x: Lanes, bias: int, low: Lanes | None = None) -> tuple[Bits, Lanes]:
    """k + bias in the lowest bits, and r, of x + low = k*ln(2) + r (Cody and Waite), for whole k, |r| <= ln(2)/2."""
    f = _format(x)
    shifted = fma(x, PER_LN2, f.round + bias)
    k = shifted - (f.round + bias)
    r = fma(k, -f.ln2[0], x)  # exact
    return shifted.bits, fma(k, -f.ln2[1], r if low is None else r + low)


class _Power:
    """(1 + q) * 2**k for |k| <= 2000, or 250, in two factors: the result is rounded once though it be subnormal."""

    def __init__(self, q: Lanes, biased: Bits) -> None:
        """biased: k + twice the bias in the lowest bits."""
        f = _format(q)
        half = (biased << f.digits - 1) & f.exponent
        self.q, self.scales = q, (half.floats, ((biased << f.digits) - half).floats)

    def times(self, factor: Lanes | float, factor_low: Lanes | None = None) -> Lanes:
        """This power times the factor, or times the sum of two."""
        rest = fma(self.q, factor, factor if factor_low is None else factor_low)
        product = rest if factor_low is None else rest + factor
        return product * self.scales[0] * self.scales[1]


def _exp(x: Lanes, low: Lanes | None = None) -> _Power:
    """e**(x + low) for |x| <= 1000, or 150."""
    biased, r = _reduced(x, 2 * _format(x).bias, low)
    return _Power(_expm1_near_0(r), biased)


def _scaled(x: Lanes, k: Bits) -> Lanes:
    """x * 2**k, if that is normal; k in the lowest bits."""
    return (x.bits + (k << _format(x).digits)).floats


def exp(x: Lanes) -> Lanes:
    """2**k * e**r, x = k*ln(2) + r (Tang 1989, without his table); with care for the range where any |x| is large."""
    f = _format(x)
    k, r = _reduced(x, 0)
    q = _expm1_near_0(r)

    def with_care() -> list[Vector]:
        return [select(x > f.far, inf, select(x < -f.far, 0.0, _Power(q, k + 2 * f.bias).times(1.0)))]

    rare = ~(absolute(x) < f.safe)
    result: Lanes
    (result,) = seldom(rare.anywhere(), [_scaled(q + 1.0, k)], with_care)
    return result


@in_doubles
def exp2(x: Lanes) -> Lanes:
    """2**k * e**(r*ln(2)), x = k + r."""
    bounded = at_least(at_most(x, 1100.0), -1100.0)
    shifted = bounded + (ROUND + 2046)
    r = bounded - (shifted - (ROUND + 2046))
    return _Power(_expm1_near_0(r * LN2), shifted.bits).times(1.0)


def expm1(x: Lanes) -> Lanes:
    """2**k * (e**r - 1) + (2**k - 1); half of it, for 2**1024 is no double."""
    f = _format(x)
    biased, r = _reduced(at_least(at_most(x, f.full), -f.flat), f.bias - 1)
    half = (biased << f.digits).floats
    result = 2.0 * fma(half, _expm1_near_0(r), half - 0.5)
    return select(absolute(x) < 2.0 ** -(f.digits + 8), x, result)


@in_doubles
def sinh(x: Lanes) -> Lanes:
    """(e**x - e**-x)/2; a polynomial up to 1."""
    a, square = absolute(x), x * x
    half = _exp(at_most(a, 1000.0)).times(0.5)
    return select(a < 1.0, fma(x * square, polynomial(square, SINH), x), copysign(half - 0.25 / half, x))


@in_doubles
def cosh(x: Lanes) -> Lanes:
    """(e**x + e**-x)/2."""
    half = _exp(at_most(absolute(x), 1000.0)).times(0.5)
    return half + 0.25 / half


def tanh(x: Lanes) -> Lanes:
    """m/(m + 2), m = e**(2*x) - 1."""
    f = _format(x)
    biased, r = _reduced(2.0 * at_most(absolute(x), 0.5 * f.flat), f.bias)
    scale = (biased << f.digits).floats
    m = fma(scale, _expm1_near_0(r), scale - 1.0)
    return copysign(m / (m + 2.0), x)


# Logarithms


def _split(x: Lanes) -> tuple[Bits, Lanes]:
    """(k + bias) << digits, and m, of x = 2**k * m with sqrt(1/2) <= m < sqrt(2), for positive normal x."""
    f = _format(x)
    shifted = x.bits + (f.one - f.root_of_half)
    return shifted & f.exponent, ((shifted & (1 << f.digits) - 1) + f.root_of_half).floats


def _whole(biased: Bits, f: Format, bias: Lanes | None = None) -> Lanes:
    """k as a float, of (k + bias) << digits: 2**digits + k has a whole number k in its lowest bits."""
    shifted = (biased >> f.digits | (f.bias + f.digits) << f.digits).floats
    return shifted - (2.0**f.digits + f.bias if bias is None else bias)


def _split_any(x: Lanes) -> tuple[Any, Lanes, Lanes]:
    """An i1, whether x is 0, subnormal, negative, infinite or nan in any lane; k and m, for subnormal x, too."""
    f = _format(x)
    rare = (~((x >= f.normal) & (x < inf))).anywhere()
    up, zero = f.digits + 2, 2.0**f.digits + f.bias

    def with_care() -> list[Vector]:
        tiny = x < f.normal
        return [select(tiny, x * 2.0**up, x), select(tiny, x.constant(zero + up), zero)]

    scaled, bias = seldom(rare, [x, x.constant(zero)], with_care)
    biased, m = _split(scaled)
    return rare, _whole(biased, f, bias), m


def _log1p_near_0(f: Lanes) -> tuple[Lanes, Lanes]:
    """f**2/2 and log(1 + f) - f + f**2/2, for sqrt(1/2) - 1 <= f <= sqrt(2) - 1 (Tang 1990): by s = f/(2 + f)."""
    s = f / (f + 2.0)
    square, half = s * s, 0.5 * f * f
    return half, s * fma(square, polynomial(square, _format(f).log), half)


def _log_scaled(k: Lanes, f: Lanes) -> Lanes:
    """k*ln(2) + log(1 + f)."""
    ln2, ln2_low = _format(f).ln2
    half, rest = _log1p_near_0(f)
    return fma(k, ln2, f - (half - fma(k, ln2_low, rest)))


def _log_ends(rare: Any, x: Lanes, result: Lanes) -> Lanes:
    """The result, but, if rare, -inf at 0, nan below, and x itself at inf and nan."""

    def with_care() -> list[Vector]:
        return [select(x < inf, select(x > 0.0, result, select(x < 0.0, x.constant(nan), -inf)), x)]

    careful: Lanes
    (careful,) = seldom(rare, [result], with_care)
    return careful


def log(x: Lanes) -> Lanes:
    """k*ln(2) + log(m), x = 2**k * m."""
    rare, k, m = _split_any(x)
    return _log_ends(rare, x, _log_scaled(k, m - 1.0))


def _log_in(x: Lanes, per_ln: float, per_ln_low: float, of_2: float, of_2_low: float) -> Lanes:
    """The logarithm to another base, from 1/ln(base) and the logarithm of 2, each in two parts."""
    rare, k, m = _split_any(x)
    f = m - 1.0
    half, rest = _log1p_near_0(f)
    low = rest - half
    result = fma(k, of_2, fma(f, per_ln, fma(low, per_ln, fma(k, of_2_low, f * per_ln_low))))
    return _log_ends(rare, x, result)


@in_doubles
def log2(x: Lanes) -> Lanes:
    return _log_in(x, PER_LN2, PER_LN2_LOW, 1.0, 0.0)


@in_doubles
def log10(x: Lanes) -> Lanes:
    return _log_in(x, PER_LN10, PER_LN10_LOW, LOG10_2, LOG10_2_LOW)


def log1p(x: Lanes) -> Lanes:
    """k*ln(2) + log(1 + f), 1 + x = 2**k * (1 + f), where f is rounded once."""
    kind = _format(x)
    u = x + 1.0
    biased, m = _split(u)
    scale = (2 * kind.one - biased).floats  # 2**-k
    f = select(x < 2.0 ** (kind.digits + 8), fma(x, scale, scale - 1.0), m - 1.0)
    rare = (~((u > 0.0) & (u < inf))).anywhere()
    return copysign(_log_ends(rare, u, _log_scaled(_whole(biased, kind), f)), x)


def _log1p_to_1(e: Lanes) -> Lanes:
    """log(1 + e) for 0 <= e <= 1, without a scale."""
    s = e / (e + 2.0)
    square = s * s
    return fma(s * square, polynomial(square, _format(e).log_wide), s + s)


@in_doubles
def asinh(x: Lanes) -> Lanes:
    """log1p(a + a**2/(1 + sqrt(1 + a**2))), a = |x|; log1p(a) + ln(2) where a**2 would overflow."""
    a = absolute(x)
    large, square = a > 2.0**500, a * a
    result = log1p(select(large, a, a + square / (1.0 + root(square + 1.0))))
    return copysign(result + select(large, LN2, 0.0), x)


@in_doubles
def acosh(x: Lanes) -> Lanes:
    """log1p(d + sqrt(d*(d + 2))), d = x - 1; log1p(d) + ln(2) where d**2 would overflow."""
    d = x - 1.0
    large = d > 2.0**500
    result = log1p(select(large, d, d + root(d * (d + 2.0)))) + select(large, LN2, 0.0)
    return select(x >= 1.0, result, nan)


@in_doubles
def atanh(x: Lanes) -> Lanes:
    """log1p(2*a/(1 - a))/2, a = |x|."""
    a = absolute(x)
    return copysign(0.5 * log1p(2.0 * a / (1.0 - a)), x)


# Powers and roots


def _exact_product(x: Lanes, y: Lanes | float) -> tuple[Lanes, Lanes]:
    """x*y as a sum of two (Dekker 1971, by fma)."""
    product = x * y
    return product, fma(x, y, -product)


def _exact_sum(x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """x + y as a sum of two, if |x| >= |y| or x is 0 (Dekker 1971)."""
    total = x + y
    return total, y - (total - x)


def _log_long(x: Lanes) -> tuple[Lanes, Lanes]:
    """log(x), 0 < x < inf, as a sum of two, to some 64 bits: 2*s + s**3*(2/3 + ...), s = f/(2 + f)."""
    _, k, m = _split_any(x)
    f = m - 1.0
    d, d_low = _exact_sum(f.constant(2.0), f)
    per_d = 1.0 / d
    s = f * per_d
    s_low = (fma(-s, d, f) - s * d_low) * per_d
    square, square_low = _exact_product(s, s)
    square_low = fma(s + s, s_low, square_low)
    c, c_low = _exact_sum(f.constant(TWO_THIRDS), square * polynomial(square, LOG_LONG))
    c_low = c_low + TWO_THIRDS_LOW
    p, p_low = _exact_product(square, c)
    p_low = p_low + fma(square, c_low, square_low * c)
    q, q_low = _exact_product(s, p)
    q_low = q_low + fma(s, p_low, s_low * p)
    total, low = _exact_sum(s + s, q)
    low = low + (q_low + (s_low + s_low))
    top, top_low = _exact_product(k, LN2)
    high, rest = _exact_sum(top, total)
    return _exact_sum(high, rest + (low + fma(k, LN2_LOW, top_low)))


@in_doubles
def pow(x: Lanes, y: Lanes) -> Lanes:
    """e**(y*log(x)), the logarithm to 64 bits; with care for the sign and the special cases, which are those of C."""
    log_high, log_low = _log_long(absolute(x))
    product, product_low = _exact_product(log_high, y)
    k, r = _reduced(product, 0, fma(log_low, y, product_low))

    def with_care() -> list[Vector]:
        return [_pow_anywhere(x, y, log_high, log_low)]

    rare = ~((x >= NORMAL) & (x < inf) & (absolute(product) < 700.0))
    result: Lanes
    (result,) = seldom(rare.anywhere(), [_scaled(_expm1_near_0(r) + 1.0, k)], with_care)
    return result


def _pow_anywhere(x: Lanes, y: Lanes, log_high: Lanes, log_low: Lanes) -> Lanes:
    """x**y for all operands, from log(|x|) where that is finite."""
    a = absolute(x)
    log_high = select(a < inf, select(a > 0.0, log_high, -inf), a)
    product, product_low = _exact_product(log_high, y)
    product_low = select(absolute(product) < 1000.0, fma(log_low, y, product_low), 0.0)
    result = _exp(at_least(at_most(product, 1000.0), -1000.0), product_low).times(1.0)
    half, whole = 0.5 * y, is_equal(round_down(y), y)
    odd = whole & ~is_equal(round_down(half), half)
    result = select((x < 0.0) & (x > -inf) & ~whole, nan, select(odd, copysign(result, x), result))
    unit = is_equal(x, 1.0) | (is_equal(x, -1.0) & is_equal(absolute(y), inf)) | is_equal(y, 0.0)
    return select(unit, 1.0, result)


def sqrt(x: Lanes) -> Lanes:
    return root(x)


@in_doubles
def cbrt(x: Lanes) -> Lanes:
    """2**j * c, |x| = 2**(3*j) * m: a polynomial and one of Halley's steps."""
    a = absolute(x)
    _, k, m = _split_any(a)
    j = round_even(k * (1 / 3))
    rest = fma(j, -3.0, k)  # -1, 0 or 1
    m = m * select(rest > 0.0, 2.0, select(rest < 0.0, 0.5, 1.0))
    factor = select(rest > 0.0, 2 ** (1 / 3), select(rest < 0.0, 2 ** (-1 / 3), 1.0))
    guess = polynomial(_split(m)[1], CBRT) * factor
    cube = guess * guess * guess
    c = fma(guess, (m - cube) / fma(cube, 2.0, m), guess)
    scale = ((j + (ROUND + 1023)).bits << 52).floats
    return select((a > 0.0) & (a < inf), copysign(c * scale, x), x)


@in_doubles
def hypot(x: Lanes, y: Lanes) -> Lanes:
    """sqrt(x**2 + y**2), scaled where a square would leave the range."""
    a, b = absolute(x), absolute(y)
    top = select(a > b, a, b)
    large, small = top > 2.0**510, top < 2.0**-450
    scale = select(large, 2.0**-600, select(small, 2.0**600, 1.0))
    back = select(large, 2.0**600, select(small, 2.0**-600, 1.0))
    u, v = a * scale, b * scale
    return select(is_equal(a, inf) | is_equal(b, inf), inf, root(fma(u, u, v * v)) * back)


# Trigonometry

LARGE = 2.0**30  # above it, x - k*pi/2 by Cody and Waite's way is not exact enough


def _quadrant(a: Lanes) -> tuple[Bits, Lanes]:
    """k modulo 4 in the lowest bits, and r, of a = k*pi/2 + r, |r| <= pi/4, for a >= 0."""
    shifted = fma(a, 2 / math.pi, ROUND)
    k = shifted - ROUND
    r = fma(k, -HALF_PI_LOWER, fma(k, -HALF_PI_LOW, fma(k, -HALF_PI, a)))
    large = (a > LARGE) & (a < inf)
    bits = shifted.bits

    def with_care() -> list[Vector]:
        found = a.builder.call(_payne_hanek(a.builder.module, a.count), [select(large, a, LARGE).value])
        whole, rest = (a.builder.extract_value(found, i) for i in (0, 1))
        return [
            Bits(a.builder, a.builder.select(large.value, whole, bits.value)),
            select(large, Lanes(a.builder, rest), r),
        ]

    whole, rest = seldom(large.anywhere(), [bits, r], with_care)
    return whole, rest


@cache
def _two_per_pi(bits: int) -> int:
    """2/pi * 2**bits, rounded down: pi by Machin's formula."""

    def arctan_of_1_by(n: int) -> int:
        term = total = (1 << 2 * bits) // n
        for i in range(3, 2 * bits, 2):
            term //= -n * n
            total += term // i
        return total

    return (2 << 3 * bits) // (16 * arctan_of_1_by(5) - 4 * arctan_of_1_by(239))


def _payne_hanek(module: Any, count: int) -> Any:
    """A function of a vector: k modulo 4 and r of a = k*pi/2 + r, for a from 2**30 on, one lane after another.

    a is m * 2**e, and whole multiples of 4 in m * 2**e * 2/pi do not matter: 192 bits of 2/pi, from the one that
    counts 2 on, decide; of the product the upper 128 are kept, two of them k.
    """
    name = f"payne_hanek.{count}"
    if name in module.globals:
        return module.globals[name]
    word, wide, double = ir.IntType(64), ir.IntType(128), ir.DoubleType()
    digits = _two_per_pi(1216)  # 20 words with 64 zeros before the point
    words = ir.ArrayType(word, 20)
    table = ir.GlobalVariable(module, words, f"{name}.two_per_pi")
    table.linkage, table.global_constant = "private", True
    table.initializer = ir.Constant(words, [digits >> 64 * i & (1 << 64) - 1 for i in range(19, -1, -1)])
    floats, wholes = ir.VectorType(double, count), ir.VectorType(word, count)
    pair = ir.LiteralStructType([wholes, floats])
    function = ir.Function(module, ir.FunctionType(pair, [floats]), name)
    function.linkage = "internal"
    for attribute in ("noinline", "optsize"):
        function.attributes.add(attribute)
    builder = ir.IRBuilder(function.append_basic_block())
    entry, loop, end = builder.block, function.append_basic_block(), function.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    lane, ks, rs = builder.phi(word), builder.phi(wholes), builder.phi(floats)

    bits = builder.bitcast(builder.extract_element(function.args[0], lane), word)
    m = builder.zext(builder.or_(builder.and_(bits, word(FRACTION)), word(1 << 52)), wide)
    first = builder.sub(builder.lshr(bits, word(52)), word(1075 - 62))  # of the bits that matter
    place, within = builder.lshr(first, word(6)), builder.and_(first, word(63))
    loaded = [builder.load(builder.gep(table, [word(0), builder.add(place, word(i))])) for i in range(4)]
    upper, middle, lower = (call_intrinsic(builder, "fshl", [loaded[i], loaded[i + 1], within]) for i in range(3))
    tail = builder.lshr(builder.mul(builder.zext(lower, wide), m), wide(64))
    tail = builder.add(builder.mul(builder.zext(middle, wide), m), tail)
    product = builder.add(builder.shl(builder.mul(builder.zext(upper, wide), m), wide(64)), tail)

    k = builder.trunc(builder.lshr(builder.add(product, wide(1 << 125)), wide(126)), word)
    fraction = builder.shl(product, wide(2))  # signed, in units of 2**-128
    negative = builder.icmp_signed("<", fraction, wide(0))
    size = builder.select(negative, builder.neg(fraction), fraction)
    zeros = call_intrinsic(builder, "ctlz", [size, ir.IntType(1)(0)])
    leading = builder.trunc(builder.lshr(builder.shl(size, zeros), wide(65)), word)  # 63 bits
    scale = builder.shl(builder.sub(word(1023 - 63), builder.trunc(zeros, word)), word(52))
    turns = builder.fmul(builder.sitofp(leading, double), builder.bitcast(scale, double))
    r = call_intrinsic(builder, "fma", [turns, double(HALF_PI), builder.fmul(turns, double(HALF_PI_LOW))])
    r = builder.select(negative, builder.fneg(r), r)

    next_ks, next_rs = builder.insert_element(ks, k, lane), builder.insert_element(rs, r, lane)
    next_lane = builder.add(lane, word(1))
    for phi, first_value, next_value in (
        (lane, word(0), next_lane),
        (ks, ir.Constant(wholes, ir.Undefined), next_ks),
        (rs, ir.Constant(floats, ir.Undefined), next_rs),
    ):
        phi.add_incoming(first_value, entry)
        phi.add_incoming(next_value, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", next_lane, word(count)), loop, end)
    builder.position_at_end(end)
    both = builder.insert_value(ir.Constant(pair, ir.Undefined), next_ks, 0)
    builder.ret(builder.insert_value(both, next_rs, 1))
    return function


def _sin_near_0(r: Lanes, square: Lanes) -> Lanes:
    return fma(r * square, polynomial(square, SIN), r)


def _cos_near_0(square: Lanes) -> Lanes:
    half = 0.5 * square
    whole = 1.0 - half
    return whole + fma(square * square, polynomial(square, COS), (1.0 - whole) - half)


def _sine(k: Bits, r: Lanes, sign: Bits) -> Lanes:
    """sin(k*pi/2 + r), times the sign."""
    square = r * r
    even = (k & 1).compare("==", 0)
    result = select(even, _sin_near_0(r, square), _cos_near_0(square))
    return (result.bits ^ (((k << 62) ^ sign) & SIGN)).floats


@in_doubles
def sin(x: Lanes) -> Lanes:
    """sin(r) or cos(r), with the sign of the quadrant, x = k*pi/2 + r (Cody and Waite; Payne and Hanek)."""
    k, r = _quadrant(absolute(x))
    return _sine(k, r, x.bits)


@in_doubles
def cos(x: Lanes) -> Lanes:
    """sin(x + pi/2)."""
    k, r = _quadrant(absolute(x))
    return _sine(k + 1, r, k.constant(0))


@in_doubles
def tan(x: Lanes) -> Lanes:
    """sin/cos, or -cos/sin in odd quadrants."""
    k, r = _quadrant(absolute(x))
    square = r * r
    s, c = _sin_near_0(r, square), _cos_near_0(square)
    even = (k & 1).compare("==", 0)
    result = select(even, s, c) / select(even, c, s)
    return (result.bits ^ (((k << 63) ^ x.bits) & SIGN)).floats


@in_doubles
def asin(x: Lanes) -> Lanes:
    """A polynomial up to 1/2; beyond, pi/2 - 2*asin(sqrt((1 - x)/2))."""
    inner, p = _arcsine(absolute(x))
    return copysign(select(inner, p, (HALF_PI - 2.0 * p)), x)


@in_doubles
def acos(x: Lanes) -> Lanes:
    """pi/2 - asin(x); beyond 1/2, 2*asin(sqrt((1 - x)/2))."""
    inner, p = _arcsine(absolute(x))
    outer = 2.0 * p
    outer = select(x < 0.0, math.pi - outer, outer)
    return select(inner, HALF_PI - copysign(p, x), outer)


def _arcsine(a: Lanes) -> tuple[Mask, Lanes]:
    """Where a < 1/2, and asin(a) there, asin(sqrt((1 - a)/2)) elsewhere."""
    inner = a < 0.5
    square = select(inner, a * a, fma(a, -0.5, 0.5))
    s = select(inner, a, root(square))
    return inner, fma(s * square, polynomial(square, ASIN), s)


def _angle(y: Lanes, x: Lanes) -> Lanes:
    """atan(y/x) for y, x >= 0: of a fraction at most tan(pi/8), and 0, pi/4 or pi/2."""
    low, middle = y <= (math.sqrt(2) - 1) * x, y < (math.sqrt(2) + 1) * x
    top = select(low, y, select(middle, y - x, -x))
    bottom = select(low, x, select(middle, y + x, y))
    start = select(low, 0.0, select(middle, HALF_PI / 2, HALF_PI))
    t = top / select(is_equal(bottom, 0.0), 1.0, bottom)
    square = t * t
    return start + fma(t * square, polynomial(square, ATAN), t)


@in_doubles
def atan(x: Lanes) -> Lanes:
    return copysign(_angle(absolute(x), x.constant(1.0)), x)


@in_doubles
def atan2(y: Lanes, x: Lanes) -> Lanes:
    """The angle of (|x|, |y|), reflected; two infinities are as two ones."""
    a, b = absolute(y), absolute(x)
    infinite = is_equal(a, inf) & is_equal(b, inf)
    top = select(a > b, a, b)
    scale = select(top > 2.0**1000, 0.25, select(top < 2.0**-900, 2.0**100, 1.0))
    angle = _angle(select(infinite, 1.0, a * scale), select(infinite, 1.0, b * scale))
    reflected = select(copysign(x.constant(1.0), x) < 0.0, math.pi - angle, angle)
    return copysign(select(is_nan(x), x, reflected), y)


# The error function


def _erf_to_1(x: Lanes) -> Lanes:
    return x * polynomial(x * x, ERF)


def _erfc(a: Lanes, unit: float, square: Lanes, low: Lanes, factor: Lanes) -> Lanes:
    """factor*erfc(a/unit)/2 for 0 <= a/unit <= 28, (a/unit)**2 = square + low."""
    t = fma(a / (a + 3.0 * unit), 2.0, -1.0)
    half, half_low = _exact_product(factor / fma(a, 2 * ERFC_SCALE / unit, ERFC_SCALE), polynomial(t, ERFC))
    return _exp(-square, -low).times(half, half_low)


def _erfc_of(a: Lanes) -> Lanes:
    a = at_most(a, 28.0)
    return _erfc(a, 1.0, *_exact_product(a, a), a.constant(2.0))


@in_doubles
def erf(x: Lanes) -> Lanes:
    """A polynomial up to 1; beyond, 1 - erfc(x)."""
    a = absolute(x)
    return select(a < 1.0, _erf_to_1(x), copysign(1.0 - _erfc_of(a), x))


@in_doubles
def erfc(x: Lanes) -> Lanes:
    """1 - erf(x) up to 1/2; beyond, of |x| by Shepherd and Laframboise, reflected."""
    a = absolute(x)
    beyond = _erfc_of(a)
    return select(a < 0.5, 1.0 - _erf_to_1(x), select(x < 0.0, 2.0 - beyond, beyond))


# Activations


def sigmoid(x: Lanes) -> Lanes:
    """1/(1 + e**-|x|), or e**-|x| times that below 0."""
    e = exp(-absolute(x))
    return select(x < 0.0, e, 1.0) / (e + 1.0)


def relu(x: Lanes) -> Lanes:
    return select(x <= 0.0, 0.0, x)


def leaky_relu(x: Lanes, negative_slope: Lanes) -> Lanes:
    return select(x <= 0.0, x * negative_slope, x)


def elu(x: Lanes, alpha: Lanes) -> Lanes:
    return select(x <= 0.0, alpha * expm1(x), x)


def selu(x: Lanes) -> Lanes:
    return SELU_SCALE * elu(x, x.constant(SELU_ALPHA))


@in_doubles
def gelu(x: Lanes) -> Lanes:
    """max(x, 0) - |x|*erfc(|x|/sqrt(2))/2, for which x**2/2 is known exactly."""
    a = at_most(absolute(x), 40.0)
    square, low = _exact_product(a, a)
    rest = _erfc(a, math.sqrt(2), 0.5 * square, 0.5 * low, a)
    return select(x >= 0.0, x, x * 0.0) - rest  # nan at -inf, as the row has it


def silu(x: Lanes) -> Lanes:
    """x*sigmoid(x); with care for subnormal sigmoids, where the factor x comes in before e**x is scaled."""

    far = _format(x).far

    def with_care() -> list[Vector]:
        bounded = at_least(x, -far)
        power = _exp(-at_most(absolute(x), far))
        result = select(x < 0.0, power.times(bounded), x) / (power.times(1.0) + 1.0)
        return [select(is_equal(x, -inf), nan, result)]

    rare = ~(x > -_format(x).safe)
    result: Lanes
    (result,) = seldom(rare.anywhere(), [x * sigmoid(x)], with_care)
    return result


def softplus(x: Lanes) -> Lanes:
    """max(x, 0) + log1p(e**-|x|)."""
    return at_least(x, 0.0) + _log1p_to_1(exp(-absolute(x)))


def logsigmoid(x: Lanes) -> Lanes:
    return -softplus(-x)


def logsumexp(*values: Lanes) -> Lanes:
    """top + log1p(the sum of e**(v - top)), where one top is left out of the sum."""
    top = values[0]
    for v in values[1:]:
        top = maximum(top, v)
    total, met = top.constant(0.0), top < top
    for v in values:
        here = is_equal(v, top) & ~met
        met = met | here
        total = total + select(here, 0.0, exp(v - top))
    return select(absolute(top) < inf, top + log1p(total), top)


# Choices and steps


def maximum(x: Lanes, y: Lanes) -> Lanes:
    return select((x >= y) | is_nan(x), x, y)


def minimum(x: Lanes, y: Lanes) -> Lanes:
    return select((x <= y) | is_nan(x), x, y)


def clamp(x: Lanes, min: Lanes, max: Lanes) -> Lanes:
    return minimum(maximum(x, min), max)


def where(condition: Lanes, x: Lanes, y: Lanes) -> Lanes:
    return select(is_equal(condition, 0.0), y, x)


def greater(x: Lanes, y: Lanes) -> Lanes:
    return select(x > y, x.constant(1.0), 0.0)


def sign(x: Lanes) -> Lanes:
    return select(is_nan(x), x, select(x > 0.0, 1.0, select(x < 0.0, x.constant(-1.0), 0.0)))


def floor(x: Lanes) -> Lanes:
    return round_down(x)


def ceil(x: Lanes) -> Lanes:
    return round_up(x)
