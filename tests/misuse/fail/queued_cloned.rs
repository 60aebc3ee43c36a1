use fanpool::Queued;

fn copy(job: &Queued<u64>) -> Queued<u64> {
    job.clone()
}

fn main() {}
