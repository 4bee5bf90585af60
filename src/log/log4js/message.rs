//! Joins the arguments of a log call as Node's `util.format` does.

use super::flatted::{Item, Table, Value};
use super::inspect::{Depth, USUAL, inspect};
use super::json::{self, Circles, Errors};
use super::number;

/// Joins `data`. Subtracts from `left` what objects show, see [`inspect`].
pub fn message(table: &Table, data: &[Item], left: &mut usize) -> String {
    let mut out = String::new();
    let mut rest = data.iter().map(|item| table.value(item));
    let mut space = false;
    if let [first, _, ..] = data
        && let Value::Text(text) = table.value(first)
    {
        rest.next();
        directives(table, text, &mut rest, &mut out, left);
        space = true;
    }
    for value in rest {
        if space {
            out.push(' ');
        }
        space = true;
        match value {
            Value::Text(text) => out.push_str(text),
            other => out.push_str(&inspect(table, other, USUAL, left)),
        }
    }
    out
}

/// Appends `text` with its directives replaced by `values`, as far as there are any.
fn directives<'a>(
    table: &Table,
    text: &str,
    values: &mut impl ExactSizeIterator<Item = Value<'a>>,
    out: &mut String,
    left: &mut usize,
) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let kind = after.chars().next();
        rest = after;
        if let Some(kind) = kind {
            rest = after.get(kind.len_utf8()..).unwrap_or_default();
        }
        match kind {
            Some('%') => out.push('%'),
            Some(kind @ ('s' | 'd' | 'i' | 'f' | 'j' | 'o' | 'O' | 'c')) if values.len() > 0 => {
                let value = values.next().unwrap_or(Value::Undefined);
                out.push_str(&shown(table, kind, value, left));
            }
            // No directive, or no value is left for it.
            other => {
                out.push('%');
                out.extend(other);
            }
        }
    }
    out.push_str(rest);
}

/// What the directive `kind` shows of `value`.
fn shown(table: &Table, kind: char, value: Value<'_>, left: &mut usize) -> String {
    let levels = |levels, hidden| Depth { levels, hidden };
    match (kind, value) {
        ('c', _) => String::new(),
        ('s', Value::List(_) | Value::Object(_)) => inspect(table, value, levels(0, false), left),
        ('s', _) => string(table, value),
        ('d', _) => number::text(number_of(table, value)),
        ('i', _) => number::text(number::int(&string(table, value))),
        ('f', _) => number::text(number::float(&string(table, value))),
        ('j', Value::Undefined) => "undefined".to_owned(),
        ('j', _) => {
            let mut out = Vec::new();
            match json::write(&mut out, table, value, Errors::Bare, left) {
                Circles::None => String::from_utf8_lossy(&out).into_owned(),
                Circles::Some => "[Circular]".to_owned(),
            }
        }
        ('o', _) => inspect(table, value, levels(4, true), left),
        _ => inspect(table, value, USUAL, left),
    }
}

/// As `Number(value)`.
fn number_of(table: &Table, value: Value<'_>) -> f64 {
    match value {
        Value::Undefined | Value::Object(_) => f64::NAN,
        Value::Null => 0.0,
        Value::Bool(yes) => f64::from(u8::from(yes)),
        Value::Number(number) => number,
        Value::Text(text) => number::of(text),
        Value::List(_) => number::of(&string(table, value)),
    }
}

/// As `String(value)`, as far as a number can be read from it.
fn string(table: &Table, value: Value<'_>) -> String {
    match value {
        Value::Undefined => "undefined".to_owned(),
        Value::Null => "null".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number::text(number),
        Value::Text(text) => text.to_owned(),
        Value::Object(_) => "[object Object]".to_owned(),
        Value::List(items) => {
            let parts = items.iter().map(|item| match table.value(item) {
                Value::Undefined | Value::Null => String::new(),
                Value::List(inner) => ",".repeat(inner.len().saturating_sub(1).min(1)),
                other => string(table, other),
            });
            // No number has a comma in it, so two elements tell as much as all.
            parts.take(2).collect::<Vec<_>>().join(",")
        }
    }
}
