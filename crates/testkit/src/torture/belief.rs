//! What a worker knows of an object: one state, or several after a request that was cut off.

/// The states that an object may be in, as far as one has been told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belief<S> {
    /// It is in this state.
    Known(S),
    /// It will be in this state before long, by itself.
    Becoming(S),
    /// It is in one of these.
    OneOf(Vec<S>),
}

impl<S: Copy + PartialEq> Belief<S> {
    /// The state, if there is no doubt.
    pub fn state(&self) -> Option<S> {
        if let Self::Known(state) = self { Some(*state) } else { None }
    }

    /// Whether it may be in this state, in the end.
    pub fn allows(&self, state: S) -> bool {
        match self {
            Self::Known(known) | Self::Becoming(known) => *known == state,
            Self::OneOf(states) => states.contains(&state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Belief;

    #[test]
    fn a_doubt_is_no_state() {
        assert_eq!(Belief::Known(1).state(), Some(1));
        assert_eq!((Belief::Becoming(1).state(), Belief::Becoming(1).allows(1)), (None, true));
        let doubt = Belief::OneOf(vec![1, 2]);
        assert_eq!((doubt.state(), doubt.allows(2), doubt.allows(3)), (None, true, false));
    }
}
