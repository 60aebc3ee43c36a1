use fanpool::{Pool, handler_fn};
use std::rc::Rc;

fn main() {
    let _ = Pool::builder(handler_fn(|job: Rc<u64>| Ok::<u64, String>(*job)));
}
