// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jose

import (
	"math"
	"strings"
)

// MaxNumericDate is the largest distance from the epoch, in seconds, that a
// [NumericDate] can have: about the year 5138.
const MaxNumericDate = 100_000_000_000

// maxDateDigits is one more than the digits before the decimal point of
// MaxNumericDate; longer numbers need no arithmetic.
const maxDateDigits = 13

// numericDate reads a scanned value as a time. The number is taken from its text,
// digit by digit: a float64 would round large and fractional ones.
func numericDate(raw string) NumericDate {
	if raw[0] != '-' && !isDigit(raw[0]) {
		return NumericDate{State: WrongType}
	}
	seconds, ok := floor(raw)
	if !ok || seconds > MaxNumericDate || seconds < -MaxNumericDate {
		return NumericDate{State: OutOfRange}
	}
	return NumericDate{Seconds: seconds, State: Present}
}

// floor returns the largest integer not above a number of RFC 8259 6, and false if
// that has maxDateDigits digits or more.
func floor(number string) (int64, bool) {
	number, negative := strings.CutPrefix(number, "-")
	mantissa, exponent := number, int64(0)
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		mantissa, exponent = number[:i], clampedInt(number[i+1:])
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return 0, true
	}
	// The value is 0.digits times ten to the point.
	point := int64(len(digits)-len(fraction)) + exponent
	if point >= maxDateDigits {
		return 0, false
	}
	var n int64
	for i := range point {
		n *= 10
		if i < int64(len(digits)) {
			n += int64(digits[i] - '0')
		}
	}
	rest := digits[min(max(point, 0), int64(len(digits))):]
	if !negative {
		return n, true
	}
	if strings.Trim(rest, "0") != "" {
		n++ // down is away from zero
	}
	return -n, true
}

// clampedInt reads an exponent. Beyond 2^32 it stops to count: no text is so long
// that its digits could bring such a number back into range.
func clampedInt(s string) int64 {
	s, negative := strings.CutPrefix(s, "-")
	s = strings.TrimPrefix(s, "+")
	var n int64
	for _, c := range []byte(s) {
		n = min(n*10+int64(c-'0'), math.MaxUint32)
	}
	if negative {
		return -n
	}
	return n
}
