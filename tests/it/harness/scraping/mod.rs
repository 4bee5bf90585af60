//! Programs that count for themselves, and what the runtime's page says of them: every page that is looked at has passed
//! the judges.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses a part"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start, signal and await processes from outside"
)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(unused_imports, reason = "as above")]

mod counted;
mod page;
mod programs;

pub use counted::Counted;
pub use page::{End, Page, scrape, scrape_at, while_scraped};
pub use programs::{Server, WORKERS, go_program, node_packages, python_packages, serving};
