//! Programs with metrics of their own, and the runtime's merged page. Every page has passed the strict parsers.

mod counted;
mod page;
mod programs;

pub use counted::Counted;
pub use page::{End, Page, scrape, scrape_at, while_scraped};
pub use programs::{Server, WORKERS, go_program, python_packages, serving};
