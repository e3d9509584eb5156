//! Quantities: exact fixed-point amounts such as `100m`, `1.5Gi`, `2e3`.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;

/// The family of suffixes a quantity was written in, which its canonical form keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    DecimalSi,
    BinarySi,
    DecimalExponent,
}

/// An exact amount, kept in nano-units.
///
/// Range: magnitude below 2^63 units; smaller than a nano-unit rounds up, as upstream does.
/// Source: `k8s.io/apimachinery/pkg/api/resource`, type Quantity.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// What upstream answers to text that is no quantity.
pub const WRONG_FORMAT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

impl FromStr for Quantity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, body) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let split = body.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(body.len());
        let (number, suffix) = body.split_at(split);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 64 {
            return Err(WRONG_FORMAT);
        }
        let (format, binary_shift, exponent) = read_suffix(suffix).ok_or(WRONG_FORMAT)?;
        let digits: i128 = format!("{whole}{fraction}").trim_start_matches('0').parse().or_else(|_| {
            if format!("{whole}{fraction}").bytes().all(|b| b == b'0') { Ok(0) } else { Err(WRONG_FORMAT) }
        })?;
        let scale = exponent + 9 - i32::try_from(fraction.len()).map_err(|_| WRONG_FORMAT)?;
        let shifted = digits.checked_mul(1i128 << binary_shift).unwrap_or(i128::MAX);
        let nano = if scale >= 0 {
            10i128.checked_pow(scale.unsigned_abs()).and_then(|p| shifted.checked_mul(p)).unwrap_or(i128::MAX)
        } else {
            10i128.checked_pow(scale.unsigned_abs()).map_or(i128::from(shifted > 0), |p| div_up(shifted, p))
        };
        let nano = nano.min(i128::from(i64::MAX) * NANO);
        Ok(Self { nano: if negative { -nano } else { nano }, format })
    }
}

fn read_suffix(suffix: &str) -> Option<(Format, u32, i32)> {
    if let Some((_, shift)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Some((Format::BinarySi, *shift, 0));
    }
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some((Format::DecimalSi, 0, *exponent));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (-18..=18).contains(&exponent).then_some((Format::DecimalExponent, 0, exponent))
}

fn div_up(n: i128, d: i128) -> i128 {
    n / d + i128::from(n % d > 0)
}

impl Quantity {
    pub const ZERO: Self = Self { nano: 0, format: Format::DecimalSi };

    /// Whole units, written without a suffix.
    pub fn from_units(units: i64) -> Self {
        Self { nano: i128::from(units) * NANO, format: Format::DecimalSi }
    }

    /// Thousandths, as CPUs are counted.
    pub fn from_milli(milli: i64) -> Self {
        Self { nano: i128::from(milli) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// Bytes, written with binary suffixes.
    pub fn from_bytes(bytes: i64) -> Self {
        Self { nano: i128::from(bytes) * NANO, format: Format::BinarySi }
    }

    /// Whole units, rounded up.
    pub fn units(self) -> i64 {
        i64::try_from(div_up(self.nano, NANO)).unwrap_or(i64::MAX)
    }

    /// Thousandths, rounded up.
    pub fn milli(self) -> i64 {
        i64::try_from(div_up(self.nano, NANO / 1000)).unwrap_or(i64::MAX)
    }

    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    pub fn is_negative(self) -> bool {
        self.nano < 0
    }

    /// Whether the amount is a whole number of units.
    pub fn is_whole(self) -> bool {
        self.nano % NANO == 0
    }

    /// Reads the API type; text that is no quantity counts as zero, since validation has refused it.
    pub fn of(quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity) -> Self {
        quantity.0.parse().unwrap_or(Self::ZERO)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl Add for Quantity {
    type Output = Self;

    /// The sum, in the format of the left side unless that is zero.
    fn add(self, other: Self) -> Self {
        let format = if self.nano == 0 { other.format } else { self.format };
        Self { nano: self.nano + other.nano, format }
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let format = if self.nano == 0 { other.format } else { self.format };
        Self { nano: self.nano - other.nano, format }
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi && self.nano % NANO == 0 && (self.nano / NANO).abs() >= 1024 {
            let mut units = self.nano / NANO;
            let mut suffix = "";
            for (name, _) in BINARY {
                if units % 1024 != 0 {
                    break;
                }
                units /= 1024;
                suffix = name;
            }
            return write!(f, "{units}{suffix}");
        }
        let (mut amount, mut step) = (self.nano, 0);
        while step + 1 < DECIMAL.len() && amount % 1000 == 0 {
            amount /= 1000;
            step += 1;
        }
        let (suffix, exponent) = DECIMAL[step];
        match (self.format, exponent) {
            (Format::DecimalExponent, 0) | (Format::DecimalSi | Format::BinarySi, _) => write!(f, "{amount}{suffix}"),
            (Format::DecimalExponent, e) => write!(f, "{amount}e{e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_and_write_canonically() {
        for (text, canonical, milli) in [
            ("0", "0", 0),
            ("1", "1", 1000),
            ("100m", "100m", 100),
            ("0.1", "100m", 100),
            ("1.5", "1500m", 1500),
            ("1000m", "1", 1000),
            ("1Ki", "1Ki", 1_024_000),
            ("1024Ki", "1Mi", 1_048_576_000),
            ("1.5Gi", "1536Mi", 1_610_612_736_000),
            ("1e3", "1e3", 1_000_000),
            ("12E2", "1200", 1_200_000),
            ("1k", "1k", 1_000_000),
            ("500u", "500u", 1),
            ("-1", "-1", -1000),
            ("+2", "2", 2000),
            (".5", "500m", 500),
            ("5.", "5", 5000),
            ("1n", "1n", 1),
            ("128974848", "128974848", 128_974_848_000),
        ] {
            let quantity: Quantity = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((quantity.to_string().as_str(), quantity.milli()), (canonical, milli), "{text}");
        }
        for wrong in ["", ".", "1.2.3", "x", "1x", "1 Gi", "1e", "1e99", "--1", "1KiB"] {
            assert!(wrong.parse::<Quantity>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sums_keep_the_left_format() {
        let sum = |a: &str, b: &str| (a.parse::<Quantity>().unwrap() + b.parse::<Quantity>().unwrap()).to_string();
        assert_eq!(sum("1Gi", "1Mi"), "1025Mi");
        assert_eq!(sum("0", "64Mi"), "64Mi");
        assert_eq!(sum("900m", "100m"), "1");
    }
}
