//! HTTP checks of one worker.

use std::time::Duration;

use super::check::{Check, Failure, NotPassed, Step};
use super::client::{Connection, Deadline, exchange, get};
use super::target::Target;

/// Sends `GET path` to one worker. A status of 2xx or 3xx passes, as for the kubelet. The whole check takes at most
/// `limit`.
pub async fn http(target: Target, path: &str, limit: Duration) -> Check {
    ask(target, path, limit).await.into()
}

async fn ask(target: Target, path: &str, limit: Duration) -> Result<(), NotPassed> {
    let deadline = Deadline::new(limit);
    let connection = Connection::open(target, &deadline).await?;
    let request = get(path, &format!("localhost:{}", target.addr.port()));
    let answer = async {
        let mut received = Vec::new();
        let status = exchange(&connection, request.as_bytes(), &mut received).await;
        Ok(status.unwrap_or(Err(Failure::Reset))?)
    };
    let status = deadline.step(Step::Answer, answer).await?;
    connection.see_off(limit).await;
    if (200..400).contains(&status) {
        Ok(())
    } else {
        Err(Failure::Status(status).into())
    }
}
