//! HTTP checks of one worker.

use std::time::Duration;

use super::check::{Check, Failure, NotPassed, Step};
use super::client::{Connection, Deadline, exchange, get};
use super::target::Target;
use crate::model::{Page, Scheme};

/// Asks one worker for the page. A status of 2xx or 3xx passes, as for the kubelet. The whole check takes at most `limit`.
pub async fn http(target: Target, page: &Page, limit: Duration) -> Check {
    ask(target, page, limit).await.into()
}

async fn ask(target: Target, page: &Page, limit: Duration) -> Result<(), NotPassed> {
    let deadline = Deadline::new(limit);
    let mut connection = Connection::open(target, &deadline).await?;
    if page.scheme == Scheme::Https {
        deadline.step(Step::Handshake, connection.secure()).await?;
    }
    let request = get(&page.path, &format!("localhost:{}", target.addr.port()));
    let answer = async {
        let mut received = Vec::new();
        let status = exchange(&mut connection, request.as_bytes(), &mut received).await;
        Ok(status.unwrap_or_else(|error| Err(Failure::of(error)))?)
    };
    let status = deadline.step(Step::Answer, answer).await?;
    connection.see_off(limit).await;
    if (200..400).contains(&status) {
        Ok(())
    } else {
        Err(Failure::Status(status).into())
    }
}
