use fanpool::{Pool, handler_fn};

fn main() {
    let _ = Pool::builder(handler_fn(|job: u64| job + 1)).build();
}
