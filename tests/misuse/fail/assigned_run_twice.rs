use fanpool::worker::{Inbox, Worker};
use fanpool::{JobHandler, async_trait};

struct Twice;

#[async_trait]
impl<J: Send + 'static, H: JobHandler<J>> Worker<J, H> for Twice {
    async fn run(&mut self, inbox: &mut Inbox<J, H>, handler: &mut H) {
        while let Some(job) = inbox.next().await {
            job.run(handler).await;
            job.run(handler).await;
        }
    }
}

fn main() {}
