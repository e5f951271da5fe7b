//! From a policy to classic BPF.
//!
//! Dispatch is by architecture, then by a binary search over the ranges of numbers that are decided alike. The program is
//! made from its end to its beginning, so that every jump's target is known when the jump is made.

use wharf_sys::seccomp::Instruction;
use wharf_types::{Error, Result};

use super::policy::{Action, Arch, ArchRules, Compare, ENOSYS, KILL_PROCESS, Operator, Policy, Rules, errno, errno_of};

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// System call numbers of x32 have this bit.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// What the kernel takes (BPF_MAXINSNS).
const LONGEST: usize = 4096;

/// Compiles a policy. Calls of an architecture that it does not know end the process.
pub(super) fn compile(policy: &Policy) -> Result<Vec<Instruction>> {
    let mut code = Backwards(Vec::with_capacity(1024));
    let mut other = code.answer(KILL_PROCESS);
    for rules in policy.arches.iter().rev().filter(|rules| rules.arch != Arch::X32) {
        let mut inside = search(&mut code, policy, rules);
        if rules.arch == Arch::X86_64 {
            let x32 = policy.arches.iter().find(|rules| rules.arch == Arch::X32);
            // Numbers are compared with their bit on.
            let wide = match x32 {
                Some(rules) => search(&mut code, policy, rules),
                None => code.answer(KILL_PROCESS),
            };
            inside = code.branch(JUMP_GREATER_OR_EQUAL, X32_BIT, wide, inside);
        }
        let inside = code.load(NUMBER, inside);
        other = code.branch(JUMP_EQUAL, rules.arch.audit(), inside, other);
    }
    code.load(ARCHITECTURE, other);
    code.finish()
}

/// Numbers from `start` on, up to the next range's start.
struct Range<'a> {
    start: u32,
    decision: Decision<'a>,
}

#[derive(PartialEq)]
enum Decision<'a> {
    Always(Action),
    ByArguments(&'a Rules),
}

fn search(code: &mut Backwards, policy: &Policy, rules: &ArchRules) -> Label {
    let ranges = ranges(policy, rules);
    search_among(code, policy, rules.arch, &ranges)
}

fn ranges<'a>(policy: &Policy, rules: &'a ArchRules) -> Vec<Range<'a>> {
    let bit = if rules.arch == Arch::X32 { X32_BIT } else { 0 };
    let mut ranges: Vec<Range<'a>> = Vec::with_capacity(rules.rules.len());
    let mut add = |start: u32, decision: Decision<'a>| {
        if ranges.last().is_none_or(|last| last.decision != decision) {
            ranges.push(Range { start: start | bit, decision });
        }
    };
    let mut next = 0;
    for (number, rules) in &rules.rules {
        if *number > next {
            add(next, Decision::Always(policy.default));
        }
        add(*number, decision(policy, rules));
        next = number + 1;
    }
    let beyond = match errno_of(policy.default) {
        Some(_) => errno(ENOSYS),
        None => policy.default,
    };
    add(next.max(rules.newest() + 1), Decision::Always(beyond));
    ranges
}

fn decision<'a>(policy: &Policy, rules: &'a Rules) -> Decision<'a> {
    if rules.conditional.is_empty() {
        Decision::Always(rules.otherwise.unwrap_or(policy.default))
    } else {
        Decision::ByArguments(rules)
    }
}

fn search_among(code: &mut Backwards, policy: &Policy, arch: Arch, ranges: &[Range<'_>]) -> Label {
    if let [range] = ranges {
        return match &range.decision {
            Decision::Always(action) => code.answer(*action),
            Decision::ByArguments(rules) => by_arguments(code, policy, arch, rules),
        };
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let above = search_among(code, policy, arch, high);
    let below = search_among(code, policy, arch, low);
    code.branch(JUMP_GREATER_OR_EQUAL, high[0].start, above, below)
}

fn by_arguments(code: &mut Backwards, policy: &Policy, arch: Arch, rules: &Rules) -> Label {
    let mut next = code.answer(rules.otherwise.unwrap_or(policy.default));
    for (conditions, action) in rules.conditional.iter().rev() {
        let mut hit = code.answer(*action);
        for condition in conditions.iter().rev() {
            hit = compare(code, arch, condition, hit, next);
        }
        next = hit;
    }
    next
}

/// Compares an argument, and goes on at `yes` or `no`. The upper half of a narrow architecture's argument is zero.
fn compare(code: &mut Backwards, arch: Arch, condition: &Compare, yes: Label, no: Label) -> Label {
    let offset = ARGUMENTS + 8 * u32::from(condition.index);
    let (low, high) = (condition.value as u32, (condition.value >> 32) as u32);
    let (operation, yes, no) = match condition.operator {
        Operator::Equal => (JUMP_EQUAL, yes, no),
        Operator::NotEqual => (JUMP_EQUAL, no, yes),
        Operator::Greater => (JUMP_GREATER, yes, no),
        Operator::LessOrEqual => (JUMP_GREATER, no, yes),
        Operator::GreaterOrEqual => (JUMP_GREATER_OR_EQUAL, yes, no),
        Operator::Less => (JUMP_GREATER_OR_EQUAL, no, yes),
        Operator::MaskedEqual(mask) => return masked(code, arch, offset, mask, condition.value, yes, no),
    };
    let jump = code.branch(operation, low, yes, no);
    let lower = code.load(offset, jump);
    if !arch.is_wide() && high == 0 {
        return lower;
    }
    let same = code.branch(JUMP_EQUAL, high, lower, no);
    let upper = match operation {
        JUMP_EQUAL => same,
        _ => code.branch(JUMP_GREATER, high, yes, same),
    };
    code.load(offset + 4, upper)
}

fn masked(code: &mut Backwards, arch: Arch, offset: u32, mask: u64, value: u64, yes: Label, no: Label) -> Label {
    let mut half = |offset: u32, shift: u32, yes: Label| {
        let jump = code.branch(JUMP_EQUAL, (value >> shift) as u32, yes, no);
        let and = code.step(AND, (mask >> shift) as u32, jump);
        code.load(offset, and)
    };
    let lower = half(offset, 0, yes);
    if arch.is_wide() || value >> 32 != 0 { half(offset + 4, 32, lower) } else { lower }
}

/// A program that grows at its beginning. A label is how far an instruction is from the program's end.
struct Backwards(Vec<Instruction>);

type Label = usize;

impl Backwards {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.0.push(Instruction { code, jt, jf, k });
        self.0.len()
    }

    fn answer(&mut self, action: Action) -> Label {
        self.push(RETURN, 0, 0, action)
    }

    fn load(&mut self, offset: u32, next: Label) -> Label {
        self.step(LOAD, offset, next)
    }

    /// One instruction, and then `next`, wherever that is.
    fn step(&mut self, code: u16, k: u32, next: Label) -> Label {
        self.bring_next(next);
        self.push(code, 0, 0, k)
    }

    fn bring_next(&mut self, label: Label) {
        if label != self.0.len() {
            let distance = (self.0.len() - label) as u32;
            self.push(JUMP, 0, 0, distance);
        }
    }

    /// A comparison. Its jumps reach 255 instructions; what is farther away is reached through a jump of its own.
    fn branch(&mut self, code: u16, k: u32, mut yes: Label, mut no: Label) -> Label {
        // The relays themselves add up to two instructions to the distance.
        const REACH: usize = 253;
        if self.0.len() - yes > REACH {
            yes = self.push(JUMP, 0, 0, (self.0.len() - yes) as u32);
        }
        if self.0.len() - no > REACH {
            no = self.push(JUMP, 0, 0, (self.0.len() - no) as u32);
        }
        let (jt, jf) = ((self.0.len() - yes) as u8, (self.0.len() - no) as u8);
        self.push(code, jt, jf, k)
    }

    fn finish(mut self) -> Result<Vec<Instruction>> {
        if self.0.len() > LONGEST {
            return Err(Error::invalid(format!("the seccomp profile needs {} instructions", self.0.len()))
                .with_hint(format!("the kernel takes {LONGEST}; use fewer argument conditions")));
        }
        self.0.reverse();
        Ok(self.0)
    }
}
