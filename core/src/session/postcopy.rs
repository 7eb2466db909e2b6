//! Where a postcopy migration is (spec §6.10).

use core::fmt;

use crate::vhost_user::FrontendRequest as R;

/// The steps of a postcopy migration on its destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// None.
    #[default]
    Off,
    /// The front-end has the userfaultfd.
    Advised,
    /// The next memory table is answered with the back-end's addresses.
    Listening,
    /// It was; the front-end has not acknowledged it, so memory must not be touched (VU-131).
    TableSent,
    /// Memory may be touched and faults are served by the front-end.
    Active,
}

impl State {
    /// All, in order.
    pub const ALL: [Self; 5] =
        [Self::Off, Self::Advised, Self::Listening, Self::TableSent, Self::Active];

    /// Whether a memory table is answered with a table (VU-130).
    pub(super) const fn answers_tables(self) -> bool {
        matches!(self, Self::Listening | Self::TableSent | Self::Active)
    }

    /// The state after a message, if it may come now (VU-175).
    #[must_use]
    pub fn after(self, step: Step) -> Option<Self> {
        TRANSITIONS.iter().find(|row| row.from == self && row.step == step).map(|row| row.to)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Advised => "advised",
            Self::Listening => "listening",
            Self::TableSent => "waiting for an acknowledgement",
            Self::Active => "active",
        })
    }
}

/// What moves a postcopy migration on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// `POSTCOPY_ADVISE`.
    Advise,
    /// `POSTCOPY_LISTEN`.
    Listen,
    /// `SET_MEM_TABLE` with regions.
    Table,
    /// `SET_MEM_TABLE` that acknowledges the table of the back-end.
    Acknowledge,
    /// `POSTCOPY_END`.
    End,
}

impl Step {
    /// All, in order.
    pub const ALL: [Self; 5] =
        [Self::Advise, Self::Listen, Self::Table, Self::Acknowledge, Self::End];

    /// The message.
    #[must_use]
    pub const fn request(self) -> R {
        match self {
            Self::Advise => R::POSTCOPY_ADVISE,
            Self::Listen => R::POSTCOPY_LISTEN,
            Self::Table | Self::Acknowledge => R::SET_MEM_TABLE,
            Self::End => R::POSTCOPY_END,
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transition {
    /// Where the migration is.
    pub from: State,
    /// What comes.
    pub step: Step,
    /// Where it is then.
    pub to: State,
}

const fn row(from: State, step: Step, to: State) -> Transition {
    Transition { from, step, to }
}

/// Every step that is allowed. Without a row a step is refused; a memory table outside of
/// postcopy is not a step.
pub const TRANSITIONS: [Transition; 7] = [
    row(State::Off, Step::Advise, State::Advised),
    row(State::Advised, Step::Listen, State::Listening),
    row(State::Listening, Step::Table, State::TableSent),
    row(State::TableSent, Step::Acknowledge, State::Active),
    row(State::Active, Step::Table, State::TableSent),
    row(State::Listening, Step::End, State::Off),
    row(State::Active, Step::End, State::Off),
];
