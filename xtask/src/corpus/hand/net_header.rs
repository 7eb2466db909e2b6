//! Inputs of `net_header`: one for each way in which a header is refused, in both directions, and
//! for the borders of what is not.

mod give;
mod send;

use vhost_fuzz_core::net::header::{Features, Kind, Segments};
use vhost_fuzz_harness::corpus::Seed;

const OK: &str = "accept";

/// Everything but `MTU`, `RSC_EXT` and the features that make a header longer than 12 bytes.
const MOST: Features = Features::from_bits(
    (1 << 0)
        | (1 << 1)
        | (0b1111_1111 << 7)
        | (1 << 15)
        | (1 << 32)
        | (1 << 54)
        | (1 << 55)
        | (1 << 56),
);

/// The features of tunnels.
const TUNNELS: Features = Features::from_bits(0b1111 << 65);

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [send::seeds(), send::tunnels(), send::lengths(), send::inside(), give::seeds()].concat()
}

/// A frame that is cut in this way.
const fn cut(kind: Kind) -> Segments {
    Segments { kind, size: 32, ecn: false, tunnel: None }
}

/// The features without some of them.
fn without(features: Features, less: Features) -> Features {
    Features::from_bits(features.bits() & !less.bits())
}

#[cfg(test)]
mod tests {
    use vhost_fuzz_harness::offload::Core;
    use vhost_fuzz_harness::target::net_header::{check, judge};

    use super::*;

    #[test]
    fn every_seed_comes_out_as_it_says() {
        let seeds = seeds();
        assert!(seeds.len() >= 60, "{} seeds", seeds.len());
        for seed in seeds {
            let outcome = check(&Core, &seed.bytes);
            let got = outcome.err().map_or(OK.to_owned(), |id| id.to_string());
            assert_eq!(got, seed.entry.expect, "{}", seed.name);
            assert_eq!(outcome, judge(&seed.bytes), "{}", seed.name);
        }
    }
}
