//! Every oracle of the ring targets speaks: rings with one mistake each fail on the corpus.

use vhost_fuzz_core::ring::{PackedQueue, SplitQueue};
use vhost_fuzz_harness::broken::ring::{self, BrokenDevice, Fault};
use vhost_fuzz_harness::broken::verdicts::{Verdict, assert_spoke, verdicts};
use vhost_fuzz_harness::ring::target::{check_image, check_script};

/// What the oracles say about a mistake in a split ring.
fn split<F: Fault>() -> Vec<Verdict> {
    verdicts("split_ring", |bytes| drop(check_script::<BrokenDevice<SplitQueue, F>>(bytes)))
}

/// What the oracles say about a mistake in a packed ring.
fn packed<F: Fault>() -> Vec<Verdict> {
    verdicts("packed_ring", |bytes| drop(check_script::<BrokenDevice<PackedQueue, F>>(bytes)))
}

/// What they say about a mistake in single chains of a split ring.
fn split_chain<F: Fault>() -> Vec<Verdict> {
    verdicts("split_chain", |bytes| drop(check_image::<BrokenDevice<SplitQueue, F>>(bytes)))
}

/// What they say about a mistake in single lists of a packed ring.
fn packed_chain<F: Fault>() -> Vec<Verdict> {
    verdicts("packed_chain", |bytes| drop(check_image::<BrokenDevice<PackedQueue, F>>(bytes)))
}

/// A mistake, and the oracle that sees it, in the corpora named.
macro_rules! caught {
    ($($test:ident: $fault:ident, $oracle:literal, in $($corpus:ident),+;)*) => {
        $(#[test]
        fn $test() {
            $(assert_spoke(&$corpus::<ring::$fault>(), $oracle);)+
        })*
    };
}

caught! {
    descriptors_fetched_twice: FetchesTwice, "model", in split, packed, split_chain, packed_chain;
    a_next_that_is_cut: CutsNext, "model", in split, split_chain;
    undefined_flags_minded: MindsUndefinedFlags, "model", in split, split_chain;
    a_write_flag_on_a_table_minded: MindsWriteOnTables, "model", in split, split_chain;
    a_descriptor_looked_at_too_often: LooksTooOften, "budget", in split, split_chain;
    a_table_entry_looked_at_too_often: LooksTooOften, "budget", in packed, packed_chain;
    bytes_swapped: SwapsBytes, "ring ledger", in split, packed;
    writes_behind_the_element: WritesBehind, "guarded memory", in split, packed;
    buffers_that_are_kept: KeepsBuffers, "ring ledger", in split, packed;
    a_buffer_used_up_unseen: UsesUp, "model", in split, packed;
    a_buffer_lost_unseen: Loses, "model", in split, packed;
    lengths_of_one_more: CountsOneMore, "ring ledger", in split, packed;
    a_driver_never_called: NeverCalls, "model", in split, packed;
    a_driver_always_called: AlwaysCalls, "model", in split, packed;
    kicks_never_asked_for: NeverArms, "model", in split, packed;
    kicks_asked_for_blindly: ArmsBlindly, "model", in split, packed;
    an_allocation_for_each_chain: Allocates, "budget", in split, packed, split_chain, packed_chain;
    prefixes_that_are_shown: ShowsPrefixes, "model", in split, packed, split_chain, packed_chain;
    long_chains_minded: MindsLongChains, "model", in split, packed, split_chain, packed_chain;
    a_break_that_is_hidden: HidesTheBreak, "model", in split, packed;
    a_wake_up_without_end: NeverYields, "model", in split, packed;
    tables_not_negotiated: IgnoresIndirectFeature, "model", in split, packed, split_chain, packed_chain;
    tables_too_long: IgnoresTableLimit, "model", in split, packed, split_chain, packed_chain;
    event_indices_ignored: IgnoresEventFeature, "model", in split, packed;
    an_order_ignored: IgnoresOrder, "model", in split, packed;
    legacy_rings_started: TakesLegacy, "model", in split, packed;
    good_mappings_minded: MindsMapping, "liveness", in split, packed;
    a_byte_too_few: ReadsShort, "model", in split, packed, split_chain, packed_chain;
}
