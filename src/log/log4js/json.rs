//! Writes values of an event as JSON.

use std::io::Write;

use super::flatted::{Item, Table, Value};
use super::number;
use crate::log::json::escape;

/// Deepest value that is written. Readers of JSON stop at some depth, and the writer calls itself.
const DEEPEST: usize = 32;

/// How errors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    /// With message and stack.
    Whole,
    /// As `JSON.stringify` writes them: without.
    Bare,
}

/// Whether a value contains itself. There `[Circular]` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circles {
    None,
    Some,
}

/// Appends `value`, as `JSON.stringify` does: what JSON lacks is `null` in a list and left out of an object. Subtracts
/// what it writes from `left`; when nothing is left, lists and objects end early.
pub fn write(
    out: &mut Vec<u8>,
    table: &Table,
    value: Value<'_>,
    errors: Errors,
    left: &mut usize,
) -> Circles {
    let mut writer = Writer {
        out,
        table,
        errors,
        left,
        open: Vec::new(),
        circles: Circles::None,
    };
    writer.value(value);
    writer.circles
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    table: &'a Table,
    errors: Errors,
    left: &'a mut usize,
    /// The objects around the present value, by address.
    open: Vec<usize>,
    circles: Circles,
}

impl Writer<'_> {
    fn value(&mut self, value: Value<'_>) {
        let before = self.out.len();
        match value {
            Value::Undefined | Value::Null => self.raw("null"),
            Value::Bool(yes) => self.raw(if yes { "true" } else { "false" }),
            Value::Number(number) if !number.is_finite() => self.raw("null"),
            Value::Number(number) => self.raw(&number::text(number)),
            Value::Text(text) => self.string(text),
            Value::List(items) => self.nested(items.as_ptr() as usize, |writer| writer.list(items)),
            Value::Object(members) => {
                let bare = self.errors == Errors::Bare && self.table.is_error(value);
                self.nested(members.as_ptr() as usize, |writer| {
                    writer.object(members, bare);
                });
            }
        }
        if !matches!(value, Value::List(_) | Value::Object(_)) {
            *self.left = self.left.saturating_sub(self.out.len() - before + 1);
        }
    }

    fn nested(&mut self, identity: usize, body: impl FnOnce(&mut Self)) {
        *self.left = self.left.saturating_sub(2);
        if self.open.contains(&identity) {
            self.circles = Circles::Some;
            self.raw("\"[Circular]\"");
        } else if self.open.len() == DEEPEST {
            self.raw("\"[Object]\"");
        } else {
            self.open.push(identity);
            body(self);
            self.open.pop();
        }
    }

    fn list(&mut self, items: &[Item]) {
        self.raw("[");
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.raw(",");
            }
            if *self.left == 0 {
                self.raw("\"...\"");
                break;
            }
            let table = self.table;
            self.value(table.value(item));
        }
        self.raw("]");
    }

    fn object(&mut self, members: &[(Box<str>, Item)], bare: bool) {
        self.raw("{");
        let mut first = true;
        for (name, item) in members {
            let table = self.table;
            let value = table.value(item);
            if value == Value::Undefined || (bare && matches!(&**name, "message" | "stack")) {
                continue;
            }
            if *self.left == 0 {
                break;
            }
            if !first {
                self.raw(",");
            }
            first = false;
            *self.left = self.left.saturating_sub(name.len() + 4);
            self.string(name);
            self.raw(":");
            self.value(value);
        }
        self.raw("}");
    }

    fn string(&mut self, text: &str) {
        self.raw("\"");
        escape::text(self.out, text);
        self.raw("\"");
    }

    fn raw(&mut self, text: &str) {
        // Writing to a Vec does not fail.
        let _ = self.out.write_all(text.as_bytes());
    }
}
