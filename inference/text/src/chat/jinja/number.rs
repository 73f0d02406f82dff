//! Numbers as the language has them: exact between whole numbers, in `f64` with a float among them.

use alloc::format;
use alloc::string::{String, ToString};
use core::cmp::Ordering;

use super::ast::Operator;
use super::error::Problem;
use super::value::Value;

/// Two numbers, of one kind.
enum Pair {
    Integers(i64, i64),
    Floats(f64, f64),
}

fn pair(left: &Value, right: &Value) -> Option<Pair> {
    let float = |value: &Value| match value {
        Value::Float(number) => Some(*number),
        other => other.integer().map(|number| number as f64),
    };
    match (left.integer(), right.integer()) {
        (Some(a), Some(b)) => Some(Pair::Integers(a, b)),
        _ => Some(Pair::Floats(float(left)?, float(right)?)),
    }
}

/// Order of two numbers; `None` where one is none, or has no order.
pub fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Float(a), other) if other.integer().is_some() => {
            other.integer().and_then(|b| order_mixed(b, *a)).map(Ordering::reverse)
        }
        (other, Value::Float(b)) if other.integer().is_some() => {
            other.integer().and_then(|a| order_mixed(a, *b))
        }
        _ => match pair(left, right)? {
            Pair::Integers(a, b) => Some(a.cmp(&b)),
            Pair::Floats(a, b) => a.partial_cmp(&b),
        },
    }
}

/// Order of numbers that no conversion rounds.
fn order_mixed(whole: i64, float: f64) -> Option<Ordering> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        return None;
    }
    if !(-LIMIT..LIMIT).contains(&float) {
        return Some(if float > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let floor = libm::floor(float);
    let fraction = if floor < float { Ordering::Less } else { Ordering::Equal };
    Some(whole.cmp(&(floor as i64)).then(fraction))
}

/// Result of `operator` on two numbers; `None` where one is none.
///
/// # Errors
/// When there is no such number.
pub fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Option<Result<Value, Problem>> {
    Some(match pair(left, right)? {
        Pair::Integers(a, b) => integers(operator, a, b)?,
        Pair::Floats(a, b) => floats(operator, a, b)?,
    })
}

const TOO_LARGE: Problem = Problem::Bound("a number grows too large");
const BY_ZERO: Problem = Problem::Bound("a division by zero");

fn integers(operator: Operator, a: i64, b: i64) -> Option<Result<Value, Problem>> {
    let divides = matches!(operator, Operator::Divide | Operator::FloorDivide | Operator::Remainder);
    if divides && b == 0 {
        return Some(Err(BY_ZERO));
    }
    let number = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => return Some(Ok(Value::Float(a as f64 / b as f64))),
        // Towards minus infinity; the remainder has the divisor's sign.
        Operator::FloorDivide => {
            a.checked_div(b).map(|quotient| quotient - i64::from(a % b != 0 && (a < 0) != (b < 0)))
        }
        Operator::Remainder => {
            let remainder = a.wrapping_rem(b);
            Some(if remainder != 0 && (remainder < 0) != (b < 0) { remainder + b } else { remainder })
        }
        _ => return None,
    };
    Some(number.map(Value::Integer).ok_or(TOO_LARGE))
}

fn floats(operator: Operator, a: f64, b: f64) -> Option<Result<Value, Problem>> {
    let divides = matches!(operator, Operator::Divide | Operator::FloorDivide | Operator::Remainder);
    if divides && b == 0.0 {
        return Some(Err(BY_ZERO));
    }
    let remainder = || {
        let remainder = libm::fmod(a, b);
        match remainder {
            0.0 => libm::copysign(0.0, b),
            _ if (remainder < 0.0) != (b < 0.0) => remainder + b,
            _ => remainder,
        }
    };
    Some(Ok(Value::Float(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::FloorDivide => {
            let quotient = (a - remainder()) / b;
            let floor = libm::floor(quotient);
            match floor {
                0.0 => libm::copysign(0.0, a / b),
                _ if quotient - floor > 0.5 => floor + 1.0,
                _ => floor,
            }
        }
        Operator::Remainder => remainder(),
        _ => return None,
    })))
}

/// A float as Python writes it: the shortest digits that mean it, with an exponent below 1e-4 and from 1e16.
pub fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = number.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}
