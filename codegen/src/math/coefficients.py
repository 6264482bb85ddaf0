#!/usr/bin/env python3
"""Derives the polynomials in this folder; needs mpmath. Prints Rust constants, each with its largest error.

A polynomial sum(c[k] * phi(k, x)) is fitted to f(x) with the weight w(x) by least squares, reweighted until the largest
weighted error no longer falls (Lawson). Coefficients are then rounded one by one, lowest first, and the others fitted
again. The error printed is that of the rounded coefficients in exact arithmetic.
"""
from mpmath import mp, mpf, matrix, lu_solve, cos, pi, exp, expm1, log, sin, tanh, erf, erfc, atan, asin, sqrt
import struct

mp.dps = 50


def single(c):
    return mpf(struct.unpack("f", struct.pack("f", float(c)))[0])


def double(c):
    return mpf(float(c))


def nodes(low, high, n):
    return [(low + high) / 2 + (high - low) / 2 * cos(pi * (2 * k + 1) / (2 * n)) for k in range(n)]


def solve(points, rows, target, weight, count):
    normal, right = matrix(count, count), matrix(count, 1)
    for row, t, w in zip(rows, target, weight):
        for i in range(count):
            right[i] += w * row[i] * t
            for j in range(i, count):
                normal[i, j] += w * row[i] * row[j]
    for i in range(count):
        for j in range(i):
            normal[i, j] = normal[j, i]
    return list(lu_solve(normal, right))


def fit(f, phi, weight, low, high, count, rounding, steps):
    points = nodes(mpf(low), mpf(high), 8 * count)
    w = [weight(x) for x in points]
    target = [f(x) * wx for x, wx in zip(points, w)]
    rows = [[phi(k, x) * wx for k in range(count)] for x, wx in zip(points, w)]
    lawson = [mpf(1) for _ in points]
    fixed = []
    best = None
    for first in range(count):
        rest = count - first
        tail = [row[first:] for row in rows]
        left = [t - sum(c * r for c, r in zip(fixed, row)) for t, row in zip(target, rows)]
        for _ in range(steps if first == 0 else 2):
            c = solve(points, tail, left, lawson, rest)
            error = [abs(t - sum(a * b for a, b in zip(c, row))) for t, row in zip(left, tail)]
            worst = max(error)
            if first == 0 and worst > 0:
                total = sum(l * e for l, e in zip(lawson, error))
                lawson = [l * (e / worst + mpf("0.02")) for l, e in zip(lawson, error)]
                scale = sum(lawson) / len(lawson)
                lawson = [l / scale for l in lawson]
        fixed.append(rounding(c[0]))
    check = nodes(mpf(low), mpf(high), 40 * count)
    worst = max(abs(weight(x) * (f(x) - sum(c * phi(k, x) for k, c in enumerate(fixed)))) for x in check)
    return fixed, worst


def show(name, doc, fitted):
    coefficients, worst = fitted
    print(f"/// {doc} Error 2^{float(log(worst, 2)):.1f}.")
    print(f"pub(super) const {name}: &[f64] = &[")
    for c in coefficients:
        print(f"    {float(c)!r},")
    print("];\n")


def power(k, x):
    return x ** k


def both(name, doc, f, weight, low, high, singles, doubles):
    if singles:
        show(name + "_F32", doc, fit(f, power, weight, low, high, singles, single, 25))
    if doubles:
        show(name + "_F64", doc, fit(f, power, weight, low, high, doubles, double, 6))


def near(f, limit):
    """f with its limit at 0."""
    return lambda x: limit if abs(x) < mpf(10) ** -20 else f(x)


def main():
    half_ln2 = log(2) / 2 * mpf("1.01")
    quarter = (pi / 4 * mpf("1.001")) ** 2
    # exp(r) = 1 + r + r^2 P(r)
    both("EXP", "`(exp(r) - 1 - r) / r^2` for `|r| < 0.35`; relative to `exp`.",
         near(lambda r: (expm1(r) - r) / r ** 2, mpf(1) / 2), lambda r: r ** 2, -half_ln2, half_ln2, 5, 11)
    # log(1 + f) = f - f^2/2 + f^3 Q(f)
    both("LOG", "`(log(1 + f) - f + f^2/2) / f^3` for `f` in `-0.293..0.415`; relative to `log`.",
         near(lambda f: (log(1 + f) - f + f * f / 2) / f ** 3, mpf(1) / 3),
         lambda f: mpf(1) if f == 0 else abs(f ** 3 / log(1 + f)), mpf("-0.2930"), mpf("0.4143"), 9, 0)
    # log(1 + f) = 2 s + s^3 R(s^2), s = f / (2 + f)
    both("LOG_S", "`(log((1 + s) / (1 - s)) - 2 s) / s^3` in `s^2` up to 0.0295.",
         near(lambda z: (log((1 + sqrt(z)) / (1 - sqrt(z))) - 2 * sqrt(z)) / sqrt(z) ** 3, mpf(2) / 3),
         lambda z: z, 0, mpf("0.0296"), 0, 8)
    both("SIN", "`(sin(r) - r) / r^3` in `r^2` for `|r| <= pi/4`; relative to `sin`.",
         near(lambda z: (sin(sqrt(z)) - sqrt(z)) / sqrt(z) ** 3, -mpf(1) / 6), lambda z: z, 0, quarter, 4, 7)
    both("COS", "`(cos(r) - 1 + r^2/2) / r^4` in `r^2` for `|r| <= pi/4`.",
         near(lambda z: (cos(sqrt(z)) - 1 + z / 2) / z ** 2, mpf(1) / 24), lambda z: z ** 2, 0, quarter, 3, 7)
    both("TANH", "`(tanh(x) - x) / x^3` in `x^2` for `|x| < 0.625`; relative to `tanh`.",
         near(lambda z: (tanh(sqrt(z)) - sqrt(z)) / sqrt(z) ** 3, -mpf(1) / 3), lambda z: z, 0, mpf("0.4"), 5, 0)
    both("ERF", "`erf(x) / x - 1` in `x^2` for `|x| < 1`; relative to `erf`.",
         near(lambda z: erf(sqrt(z)) / sqrt(z) - 1, 2 / sqrt(pi) - 1), lambda z: mpf(1), 0, mpf("0.88"), 6, 0)
    both("ERF", "`erf(x) / x - 1` in `x^2` for `|x| < 1`; relative to `erf`.",
         near(lambda z: erf(sqrt(z)) / sqrt(z) - 1, 2 / sqrt(pi) - 1), lambda z: mpf(1), 0, mpf("1.01"), 0, 13)
    tail = lambda t: log(erfc(t)) / t + 1
    both("ERFC", "`log(erfc(t)) / t + 1` for `t` from 0.92 to 4; relative to `erf`.",
         tail, lambda t: t * erfc(t), mpf("0.92"), mpf("4.0"), 7, 0)
    both("ERFC", "`log(erfc(t)) / t + 1` for `t` from 1 to 6; relative to `erf`.",
         tail, lambda t: t * erfc(t), mpf("0.99"), mpf("6.0"), 0, 19)
    both("ATAN", "`(atan(t) - t) / t^3` in `t^2` for `|t| < 0.415`; relative to `atan`.",
         near(lambda z: (atan(sqrt(z)) - sqrt(z)) / sqrt(z) ** 3, -mpf(1) / 3), lambda z: z, 0, mpf("0.1720"), 0, 12)
    both("ASIN", "`(asin(x) - x) / x^3` in `x^2` for `|x| <= 0.5`; relative to `asin`.",
         near(lambda z: (asin(sqrt(z)) - sqrt(z)) / sqrt(z) ** 3, mpf(1) / 6), lambda z: z, 0, mpf("0.2501"), 0, 13)


main()
