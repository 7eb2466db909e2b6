//! Scripts that are drawn, thousands of them, on both rings: the model and the core agree.

use vhost_fuzz_core::ring::{Layout, PackedQueue, SplitQueue};
use vhost_fuzz_harness::ring::{Device, Run, Watch, draw};

/// Scripts of each kind.
const SCRIPTS: u64 = 3000;

fn hammer<D: Device>(form: Layout) {
    let scripts = std::env::var("SCRIPTS").ok().and_then(|it| it.parse().ok()).unwrap_or(SCRIPTS);
    let mut run = Run::<D>::default();
    let mut operations = 0;
    for seed in 0..scripts {
        let mut rng = fastrand::Rng::with_seed(seed);
        let phrases = rng.usize(1..60);
        let steps = draw::script(&mut rng, form, phrases);
        let watch = if rng.bool() { Watch::Closely } else { Watch::Lightly };
        let text = format!("{watch:?} {steps:#?}");
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run.steps(watch, steps).operations
        }));
        match ended {
            Ok(done) => operations += done,
            Err(_) => panic!("seed {seed}: {text}"),
        }
    }
    println!("{operations}");
}

#[test]
fn split_rings_agree_with_their_model() {
    hammer::<SplitQueue>(Layout::Split);
}

#[test]
fn packed_rings_agree_with_their_model() {
    hammer::<PackedQueue>(Layout::Packed);
}
