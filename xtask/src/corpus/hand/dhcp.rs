//! Conversations of the target `dhcp`: one for each rule, hazard 8.24, and what is legal but
//! unusual.

mod answers;
mod drops;

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::dhcp::{ADDRESS, Draft, Setup, input};

use super::seed;

const OK: &str = "accept";

/// What most clients ask for.
const WANTED: &[u8] = &[1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42, 249, 33, 252, 51, 58, 59];

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [drops::seeds(), drops::unusual(), answers::walks(), answers::replies(), answers::silences()]
        .concat()
}

/// A port that is set up like this.
const fn setup(flags: u8) -> Setup {
    Setup([flags, 0])
}

const PLAIN: Setup = setup(0);

/// A seed of the plain port.
fn plain(name: &str, expect: &str, shows: &str, drafts: &[Draft]) -> Seed {
    seed(name, expect, shows, input(PLAIN, drafts))
}

/// A seed of another port.
fn on(setup: Setup, name: &str, expect: &str, shows: &str, drafts: &[Draft]) -> Seed {
    seed(name, expect, shows, input(setup, drafts))
}

/// The guest gets its address.
fn bound(setup: Setup) -> Vec<Draft> {
    vec![wanting(Draft::discover()).end(), wanting(Draft::selecting(setup)).end()]
}

fn wanting(draft: Draft) -> Draft {
    draft.option(57, &[5, 220]).option(55, WANTED)
}

/// The guest gets its address, and then this happens.
fn then(setup: Setup, draft: Draft) -> Vec<Draft> {
    [bound(setup), vec![draft]].concat()
}
