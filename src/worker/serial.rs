use super::Worker;
use super::inbox::Inbox;
use crate::handler::JobHandler;
use async_trait::async_trait;

/// Runs one job after the other: the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct SerialWorker;

impl SerialWorker {
    /// Makes the worker.
    pub fn new() -> Self {
        SerialWorker
    }
}

#[async_trait]
impl<J: Send + 'static, H: JobHandler<J>> Worker<J, H> for SerialWorker {
    async fn run(&mut self, inbox: &mut Inbox<J, H>, handler: &mut H) {
        while let Some(mut job) = inbox.next().await {
            job.settle_by(handler).await;
        }
    }
}
