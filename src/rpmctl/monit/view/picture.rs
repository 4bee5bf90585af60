//! docs/pictures/monit.svg: the screen of a fixed state. `make screenshots` writes it anew.

use std::fmt::Write as _;

use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::style::{Color, Modifier};

use super::super::fixtures::incident;
use super::tests::{COLOURS, compare};
use super::{LEAST, draw};

/// Width and height of a cell.
const CELL: (f64, f64) = (8.4, 18.0);
const EDGE: f64 = 12.0;
const GROUND: &str = "#1e2127";
const LETTERS: &str = "#d7dae0";

#[test]
fn the_picture_of_the_documents_is_the_screen_of_this_version() {
    let screen = draw(&incident(), COLOURS, (100, 24));
    assert!(screen.area.width > LEAST.0);
    compare("../../../docs/pictures/monit.svg", &svg(&screen));
}

fn svg(screen: &Buffer) -> String {
    let (columns, rows) = (screen.area.width, screen.area.height);
    let width = f64::from(columns) * CELL.0 + 2.0 * EDGE;
    let height = f64::from(rows) * CELL.1 + 2.0 * EDGE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" font-family=\"ui-monospace, \
         'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\">\n<title>rpmctl monit</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{GROUND}\"/>\n"
    );
    for y in 0..rows {
        let mut x = 0;
        while x < columns {
            let begin = x;
            let kind = |x: u16| {
                screen
                    .cell((x, y))
                    .map(|cell| (cell.fg, cell.modifier, shape(cell).is_some()))
            };
            while x < columns && kind(x) == kind(begin) {
                x += 1;
            }
            let cells: Vec<&Cell> = (begin..x).filter_map(|x| screen.cell((x, y))).collect();
            run(&mut out, begin, y, &cells);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Cells of one style: a ground, and letters or shapes.
fn run(out: &mut String, x: u16, y: u16, cells: &[&Cell]) {
    let Some(first) = cells.first() else { return };
    let (left, top) = (EDGE + f64::from(x) * CELL.0, EDGE + f64::from(y) * CELL.1);
    let length: f64 = cells.iter().map(|_| CELL.0).sum();
    let reversed = first.modifier.contains(Modifier::REVERSED);
    let (ink, ground) = if reversed {
        (GROUND, colour(first.fg))
    } else {
        (colour(first.fg), GROUND)
    };
    let mut add = |text: String| {
        let _ = writeln!(out, "{text}"); // a String takes everything
    };
    if reversed {
        add(format!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{ground}\"/>",
            CELL.1
        ));
    }
    if first.modifier.contains(Modifier::UNDERLINED) {
        add(format!(
            "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"1\" fill=\"{ink}\"/>",
            top + CELL.1 - 2.0
        ));
    }
    let text: String = cells.iter().map(|cell| cell.symbol()).collect();
    if text.trim().is_empty() {
        return;
    }
    let dim = if first.modifier.contains(Modifier::DIM) {
        " opacity=\"0.6\""
    } else {
        ""
    };
    if shape(first).is_some() {
        let mut at = left;
        for cell in cells {
            if let Some((x, y, width, height)) = shape(cell) {
                add(format!(
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{ink}\"{dim}/>",
                    at + x * CELL.0,
                    top + y * CELL.1,
                    width * CELL.0,
                    height * CELL.1
                ));
            }
            at += CELL.0;
        }
        return;
    }
    let bold = if first.modifier.contains(Modifier::BOLD) {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    add(format!(
        "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{length:.1}\" xml:space=\"preserve\" fill=\"{ink}\"{bold}{dim}>{text}</text>",
        top + 13.0
    ));
}

/// Blocks and lines are drawn, because fonts do not agree about them: left, top, width and height in cells.
fn shape(cell: &Cell) -> Option<(f64, f64, f64, f64)> {
    let letter = cell.symbol().chars().next()?;
    match letter {
        '─' => Some((0.0, 0.48, 1.0, 0.04)),
        '▁'..='█' => {
            let eighths = f64::from(u32::from(letter) - u32::from('▁') + 1) / 8.0;
            Some((0.0, 0.9 - 0.8 * eighths, 1.0, 0.8 * eighths))
        }
        '▉'..='▏' => {
            let eighths = f64::from(u32::from('▏') - u32::from(letter) + 1) / 8.0;
            Some((0.0, 0.1, eighths, 0.8))
        }
        _ => None,
    }
}

fn colour(colour: Color) -> &'static str {
    match colour {
        Color::Red => "#ff6b6b",
        Color::Yellow => "#e5c07b",
        Color::Green => "#98c379",
        Color::Cyan => "#56b6c2",
        _ => LETTERS,
    }
}
