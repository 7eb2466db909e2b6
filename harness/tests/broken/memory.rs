//! Every oracle of the memory target catches the implementation that is broken for it, on the
//! committed corpus and by its own name. One without a mistake passes.

use vhost_fuzz_harness::broken::memory as broken;
use vhost_fuzz_harness::broken::verdicts::{self, Verdict, assert_spoke};
use vhost_fuzz_harness::memory::{Core, Memory};
use vhost_fuzz_harness::target::mem_table;

fn verdicts<M: Memory>() -> Vec<Verdict> {
    verdicts::verdicts("mem_table", |bytes| _ = mem_table::check::<M>(bytes))
}

/// Demands that the named oracle spoke, and no other one.
#[track_caller]
fn assert_caught<M: Memory>(oracle: &str) {
    let verdicts = verdicts::<M>();
    assert_spoke(&verdicts, oracle);
    for Verdict { seed, text } in verdicts {
        assert!(text.starts_with(&format!("{oracle}: ")), "{seed}: {text}");
    }
}

#[test]
fn memory_without_a_mistake_passes() {
    assert_eq!(verdicts::<Core>(), []);
    assert_eq!(verdicts::<broken::Nothing>(), []);
}

caught! {
    a_wrap_that_is_not_seen: IgnoresWraps by "model";
    an_overlap_that_is_not_seen: IgnoresUserOverlap by "model";
    more_regions_than_slots: IgnoresTheSlots by "model";
    a_repetition_that_is_refused: RefusesARepetition by "model";
    a_repetition_without_effect: IgnoresARepetition by "model";
    a_repetition_that_leaks: LeaksARepetition by "fd ledger";
    a_repetition_that_needs_a_slot: CountsARepetition by "model";
    a_second_removal_that_is_refused: RefusesToRemoveAgain by "model";
    a_removal_of_a_piece: RemovesWhatItDoesNotFind by "model";
    a_removal_by_guest_address: RemovesByGuestAddress by "model";
    a_removal_that_wants_the_offset: ComparesTheOffset by "model";
    a_mapping_in_advance: MapsInAdvance by "model";
    a_mapping_that_is_not_aligned: MapsUnaligned by "model";
    an_old_table_that_goes_first: DropsFirst by "fd ledger";
    a_mapping_that_leaks: Leaks by "fd ledger";
    a_mapping_that_is_undone_twice: UnmapsTwice by "fd ledger";
    an_offset_from_the_start_of_the_file: AddsTheMmapOffset by "model";
    an_empty_range_that_is_nowhere: ForgivesEmptyRanges by "model";
    a_border_that_may_not_be_crossed: WantsOneRegion by "model";
    a_border_that_is_not_seen: JoinsRegions by "model";
    permissions_that_are_not_seen: IgnoresPermissions by "model";
    a_list_of_pieces: Allocates by "budget";
    a_translation_that_stays: KeepsParts by "model";
    an_iotlb_type_that_is_not_seen: TakesEveryKind by "model";
    an_address_space_that_is_mixed_up: MixesSpaces by "model";
    a_log_offset_that_is_not_seen: IgnoresTheLogOffset by "model";
    a_mark_beyond_the_log: MarksBeyondTheEnd by "guarded memory";
    a_page_that_is_not_marked: MarksTheFirstPage by "model";
    bits_the_wrong_way_round: ReversesBits by "model";
    a_step_for_each_page: MarksPageByPage by "budget";
    marks_of_io_virtual_addresses: MarksIovas by "model";
    marks_of_the_start_of_a_used_ring: MarksTheUsedIndex by "model";
    a_ring_size_that_is_rounded: RoundsRingSizes by "model";
    alignment_that_is_not_seen: IgnoresAlignment by "model";
    a_ring_in_the_wrong_address_space: PlacesInGuestMemory by "model";
    a_ring_that_begins_in_a_hole: LooksAtTheEnd by "model";
    a_ring_that_stays_where_it_was: KeepsPlacements by "model";
    a_used_ring_outside_the_log: IgnoresTheUsedLog by "model";
}
