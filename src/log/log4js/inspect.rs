//! Shows values as Node's `util.inspect` does (its documentation: nodejs.org/api/util.html), as far as values of an
//! event need it: those that JSON can hold, and errors.

use super::flatted::{Item, Table, Value};
use super::number;
use super::quote;

/// Defaults of `util.inspect`: most elements of a list that are shown, and the width of a line.
const MAX_LIST: usize = 100;
const WIDTH: usize = 80;
/// Levels of objects that may share a line.
const COMPACT: usize = 3;

/// What is shown instead of values for which there is no room.
const CUT: &str = "...";

/// How much is shown.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// Levels of objects below the first.
    pub levels: usize,
    /// Also what `util.inspect` calls hidden: the length of lists.
    pub hidden: bool,
}

/// `%O`, and arguments without a directive.
pub const USUAL: Depth = Depth {
    levels: 2,
    hidden: false,
};

/// Shows `value`, and subtracts what it shows from `left`, in bytes. Values may refer to the same others again and
/// again, so that a short event could show without end; when nothing is left, the rest is cut.
pub fn inspect(table: &Table, value: Value<'_>, depth: Depth, left: &mut usize) -> String {
    let mut inspector = Inspector {
        table,
        depth,
        left,
        indentation: 0,
        deepest: 0,
        open: Vec::new(),
        circular: Vec::new(),
    };
    inspector.value(value, 0)
}

/// Which object a value is.
fn identity(value: Value<'_>) -> usize {
    match value {
        Value::List(items) => items.as_ptr() as usize,
        Value::Object(members) => members.as_ptr() as usize,
        _ => 0,
    }
}

struct Inspector<'a> {
    table: &'a Table,
    depth: Depth,
    left: &'a mut usize,
    indentation: usize,
    /// The deepest level that was shown of the value at hand.
    deepest: usize,
    /// The objects around the value at hand.
    open: Vec<usize>,
    /// Objects that contain themselves, in the order in which that was found.
    circular: Vec<usize>,
}

impl Inspector<'_> {
    fn value(&mut self, value: Value<'_>, level: usize) -> String {
        let shown = match value {
            Value::Undefined => "undefined".to_owned(),
            Value::Null => "null".to_owned(),
            Value::Bool(yes) => yes.to_string(),
            Value::Number(number) => number::text(number),
            Value::Text(text) => quote::string(text, self.indentation, WIDTH),
            Value::List(_) | Value::Object(_) => return self.object(value, level),
        };
        self.spend(shown.len());
        shown
    }

    fn spend(&mut self, bytes: usize) {
        // A value is followed by a comma and a space at least.
        *self.left = self.left.saturating_sub(bytes + 2);
    }

    fn object(&mut self, value: Value<'_>, level: usize) -> String {
        let identity = identity(value);
        if self.open.contains(&identity) {
            let known = self.circular.iter().position(|one| *one == identity);
            let at = known.unwrap_or_else(|| {
                self.circular.push(identity);
                self.circular.len() - 1
            });
            self.spend(12);
            return format!("[Circular *{}]", at + 1);
        }
        let error = self.table.is_error(value);
        let mut base = if error {
            self.error(value)
        } else {
            String::new()
        };
        let list = matches!(value, Value::List(_));
        let count = match value {
            Value::List(items) => items.len() + usize::from(self.depth.hidden),
            Value::Object(members) if error && !self.depth.hidden => {
                let shown = members
                    .iter()
                    .filter(|(name, item)| self.is_shown(name, item, &base));
                shown.count()
            }
            Value::Object(members) => members.len(),
            _ => 0,
        };
        self.spend(base.len());
        if count == 0 {
            return match (error, list) {
                (true, _) => base,
                (false, true) => "[]".to_owned(),
                (false, false) => "{}".to_owned(),
            };
        }
        if level > self.depth.levels {
            self.spend(8);
            return match (error, list) {
                (true, _) => "[Error]",
                (false, true) => "[Array]",
                (false, false) => "[Object]",
            }
            .to_owned();
        }
        self.deepest = level + 1;
        self.open.push(identity);
        let entries = match value {
            Value::List(items) => self.elements(items, level + 1),
            _ => self.members(value, error.then_some(base.as_str()), level + 1),
        };
        self.open.pop();
        if let Some(at) = self.circular.iter().position(|one| *one == identity) {
            let space = if base.is_empty() { "" } else { " " };
            base = format!("<ref *{}>{space}{base}", at + 1);
        }
        self.together(entries, &base, value, level + 1)
    }

    fn elements(&mut self, items: &[Item], level: usize) -> Vec<String> {
        let mut entries = Vec::new();
        for item in items.iter().take(MAX_LIST) {
            if *self.left == 0 {
                entries.push(CUT.to_owned());
                return entries;
            }
            entries.push(self.entry(item, level));
        }
        match items.len().saturating_sub(MAX_LIST) {
            0 => {}
            1 => entries.push("... 1 more item".to_owned()),
            more => entries.push(format!("... {more} more items")),
        }
        if self.depth.hidden {
            entries.push(format!("[length]: {}", items.len()));
        }
        entries
    }

    /// `base` is what is shown of an error itself.
    fn members(&mut self, value: Value<'_>, base: Option<&str>, level: usize) -> Vec<String> {
        let mut entries = Vec::new();
        let Value::Object(members) = value else {
            return entries;
        };
        for (name, item) in members {
            let key = match base {
                Some(_) if self.depth.hidden && is_own(name) => format!("[{name}]"),
                Some(base) if !self.depth.hidden && !self.is_shown(name, item, base) => continue,
                _ => quote::key(name),
            };
            if *self.left == 0 {
                entries.push(CUT.to_owned());
                break;
            }
            self.spend(key.len());
            let shown = self.entry(item, level);
            entries.push(format!("{key}: {shown}"));
        }
        entries
    }

    fn entry(&mut self, item: &Item, level: usize) -> String {
        self.indentation += 2;
        let table = self.table;
        let shown = self.value(table.value(item), level);
        self.indentation -= 2;
        shown
    }

    /// Whether a member of an error is shown beside `base`.
    fn is_shown(&self, name: &str, item: &Item, base: &str) -> bool {
        match self.table.value(item) {
            _ if is_own(name) => false,
            Value::Text(text) => name != "name" || !base.contains(text),
            _ => true,
        }
    }

    /// The stack of an error, in brackets if it has no frames.
    fn error(&self, value: Value<'_>) -> String {
        let (Value::Text(stack), message) = (
            self.table.get(value, "stack"),
            self.table.get(value, "message"),
        ) else {
            return "[Error]".to_owned();
        };
        let mut stack = stack.to_owned();
        if let Value::Text(name) = self.table.get(value, "name")
            && name != "Error"
            && name.ends_with("Error")
            && let Some(rest) = stack.strip_prefix(name)
            && (rest.is_empty() || rest.starts_with([':', '\n']))
        {
            stack = format!("Error [{name}]{rest}");
        }
        let after = match message {
            Value::Text(message) => match stack.find(message) {
                None | Some(0) => 0,
                Some(at) => at + message.len(),
            },
            _ => 0,
        };
        let framed = stack
            .get(after..)
            .is_some_and(|rest| rest.contains("\n    at"));
        if !framed {
            stack = format!("[{stack}]");
        }
        if self.indentation > 0 {
            stack = stack.replace('\n', &self.line());
        }
        stack
    }

    /// A newline and the present indentation.
    fn line(&self) -> String {
        format!("\n{}", " ".repeat(self.indentation))
    }

    /// Puts the entries of an object on one line if they fit, else on several.
    fn together(
        &self,
        mut entries: Vec<String>,
        base: &str,
        value: Value<'_>,
        level: usize,
    ) -> String {
        let braces = match value {
            Value::List(_) => ["[", "]"],
            _ => ["{", "}"],
        };
        let count = entries.len();
        if let Value::List(items) = value
            && count > 6
        {
            entries = self.grouped(entries, items);
        }
        let space = if base.is_empty() { "" } else { " " };
        let head = format!("{base}{space}{}", braces[0]);
        if self.deepest - level < COMPACT && entries.len() == count {
            let start = count + self.indentation + 1 + quote::units(base) + 10;
            let size: usize = entries.iter().map(|entry| quote::units(entry)).sum();
            let fits = size + count + start <= WIDTH && start + 2 * count <= WIDTH;
            if fits && !base.contains('\n') && !entries.iter().any(|entry| entry.contains('\n')) {
                return format!("{head} {} {}", entries.join(", "), braces[1]);
            }
        }
        let line = self.line();
        let entries = entries.join(&format!(",{line}  "));
        format!("{head}{line}  {entries}{line}{}", braces[1])
    }

    /// Puts the elements of a list into columns if they are of similar length.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some hundred columns at most"
    )]
    fn grouped(&self, entries: Vec<String>, items: &[Item]) -> Vec<String> {
        let extra = usize::from(entries.len() > MAX_LIST);
        let (cells, more) = entries.split_at(entries.len() - extra);
        let widths: Vec<usize> = cells.iter().map(|cell| quote::width(cell)).collect();
        let longest = widths.iter().copied().max().unwrap_or(0);
        let (total, widest) = (
            widths.iter().map(|width| width + 2).sum::<usize>(),
            longest + 2,
        );
        let alike = total as f64 / widest as f64 > 5.0 || longest <= 6;
        if widest * 3 + self.indentation >= WIDTH || !alike {
            return entries;
        }
        let bias = (widest as f64 - total as f64 / entries.len() as f64).sqrt();
        let biased = (widest as f64 - 3.0 - bias).max(1.0);
        let square = ((2.5 * biased * cells.len() as f64).sqrt() / biased + 0.5).floor() as usize;
        let fitting = (WIDTH - self.indentation) / widest;
        let columns = square.min(fitting).min(4 * COMPACT).min(15);
        if columns <= 1 {
            return entries;
        }
        let column = |at: usize| {
            let widths = widths.iter().skip(at).step_by(columns);
            widths.copied().max().unwrap_or(0) + 2
        };
        let column_widths: Vec<usize> = (0..columns).map(column).collect();
        let shown = items.get(..entries.len());
        let numbers = shown.is_some_and(|items| {
            let value = |item| self.table.value(item);
            items
                .iter()
                .all(|item| matches!(value(item), Value::Number(_)))
        });
        let row = |(cells, widths): (&[String], &[usize])| {
            let mut row = String::new();
            for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
                let last = at + 1 == cells.len();
                let column = column_widths.get(at).copied().unwrap_or(0);
                let comma = if last { "" } else { ", " };
                let taken = width + if last && numbers { 2 } else { comma.len() };
                let padding = " ".repeat(column.saturating_sub(taken));
                if numbers {
                    row.push_str(&padding);
                }
                row.push_str(cell);
                row.push_str(comma);
                if !numbers && !last {
                    row.push_str(&padding);
                }
            }
            row
        };
        let rows = cells.chunks(columns).zip(widths.chunks(columns));
        rows.map(row).chain(more.iter().cloned()).collect()
    }
}

/// Members that every error has of its own, which are part of its stack.
fn is_own(name: &str) -> bool {
    matches!(name, "message" | "stack")
}
