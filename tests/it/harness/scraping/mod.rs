//! Programs that count for themselves, and what the runtime's page says of them: every page that is looked at has passed
//! the judges.

mod counted;
mod page;
mod programs;

pub use counted::Counted;
pub use page::{End, Page, scrape, scrape_at, while_scraped};
pub use programs::{Server, WORKERS, go_program, node_packages, python_packages, serving};
