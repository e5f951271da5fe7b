//! Device rules as an eBPF program for version 2 (BPF_PROG_TYPE_CGROUP_DEVICE).
//!
//! The kernel asks it at each open or mknod with `struct bpf_cgroup_dev_ctx`; 1 allows.

use crate::spec::DeviceRule;

const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const ANY_ACCESS: i32 = MKNOD | READ | WRITE;

// Registers: the context, and what is taken from it.
const RESULT: u64 = 0;
const CONTEXT: u64 = 1;
const KIND: u64 = 2;
const ACCESS: u64 = 3;
const MAJOR: u64 = 4;
const MINOR: u64 = 5;
const SCRATCH: u64 = 6;

// Operations.
const LOAD_WORD: u64 = 0x61;
const AND: u64 = 0x54;
const SHIFT_RIGHT: u64 = 0x74;
const MOVE: u64 = 0xb7;
const MOVE_REGISTER: u64 = 0xbc;
const JUMP_IF_EQUAL: u64 = 0x16;
const JUMP_IF_NOT_EQUAL: u64 = 0x56;
const EXIT: u64 = 0x95;

/// The program: the last rule that fits decides, and without one the answer is no.
pub(super) fn compile(rules: &[DeviceRule]) -> Vec<u64> {
    let mut program = vec![
        load(KIND, 0),
        immediate(AND, KIND, 0xffff),
        load(ACCESS, 0),
        immediate(SHIFT_RIGHT, ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        program.extend(block(rule));
    }
    program.extend(answer(false));
    program
}

fn load(register: u64, offset: u64) -> u64 {
    LOAD_WORD | register << 8 | CONTEXT << 12 | offset << 16
}

fn immediate(operation: u64, register: u64, value: i32) -> u64 {
    operation | register << 8 | u64::from(value as u32) << 32
}

fn answer(allow: bool) -> [u64; 2] {
    [immediate(MOVE, RESULT, i32::from(allow)), EXIT]
}

/// One rule: a row of conditions, each of which jumps behind the answer where it does not hold.
fn block(rule: &DeviceRule) -> Vec<u64> {
    let mut conditions = Vec::new();
    match rule.kind {
        'b' => conditions.push(immediate(JUMP_IF_NOT_EQUAL, KIND, BLOCK)),
        'c' => conditions.push(immediate(JUMP_IF_NOT_EQUAL, KIND, CHARACTER)),
        _ => {}
    }
    let access = access_bits(&rule.access);
    if access != ANY_ACCESS {
        conditions.push(MOVE_REGISTER | SCRATCH << 8 | ACCESS << 12);
        if rule.allow {
            // All that is asked for must be allowed ...
            conditions.push(immediate(AND, SCRATCH, !access));
            conditions.push(immediate(JUMP_IF_NOT_EQUAL, SCRATCH, 0));
        } else {
            // ... but one part that is denied is enough.
            conditions.push(immediate(AND, SCRATCH, access));
            conditions.push(immediate(JUMP_IF_EQUAL, SCRATCH, 0));
        }
    }
    conditions.extend(rule.major.map(|major| immediate(JUMP_IF_NOT_EQUAL, MAJOR, major.cast_signed())));
    conditions.extend(rule.minor.map(|minor| immediate(JUMP_IF_NOT_EQUAL, MINOR, minor.cast_signed())));
    let length = conditions.len();
    for (index, instruction) in conditions.iter_mut().enumerate() {
        if matches!(*instruction & 0xff, JUMP_IF_EQUAL | JUMP_IF_NOT_EQUAL) {
            // Over the conditions that are left and the two instructions of the answer.
            *instruction |= ((length - index - 1 + 2) as u64) << 16;
        }
    }
    conditions.extend(answer(rule.allow));
    conditions
}

fn access_bits(access: &str) -> i32 {
    let bit = |letter, bit| if access.contains(letter) { bit } else { 0 };
    bit('m', MKNOD) | bit('r', READ) | bit('w', WRITE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program on a question, as the kernel would.
    fn run(program: &[u64], kind: i32, access: i32, major: u32, minor: u32) -> bool {
        let context = [(access << 16 | kind) as u32, major, minor];
        let mut registers = [0_u32; 11];
        let mut at = 0;
        loop {
            let instruction = program[at];
            let target = (instruction >> 8 & 0xf) as usize;
            let source = (instruction >> 12 & 0xf) as usize;
            let offset = (instruction >> 16 & 0xffff) as usize;
            let value = (instruction >> 32) as u32;
            at += 1;
            match instruction & 0xff {
                LOAD_WORD => registers[target] = context[offset / 4],
                AND => registers[target] &= value,
                SHIFT_RIGHT => registers[target] >>= value,
                MOVE => registers[target] = value,
                MOVE_REGISTER => registers[target] = registers[source],
                JUMP_IF_EQUAL if registers[target] == value => at += offset,
                JUMP_IF_NOT_EQUAL if registers[target] != value => at += offset,
                JUMP_IF_EQUAL | JUMP_IF_NOT_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    fn rule(allow: bool, kind: char, major: Option<u32>, minor: Option<u32>, access: &str) -> DeviceRule {
        DeviceRule { allow, kind, major, minor, access: access.to_owned() }
    }

    #[test]
    fn the_last_rule_that_fits_decides() {
        let program = compile(&[
            rule(true, 'c', None, None, "m"),
            rule(true, 'c', Some(1), Some(3), "rwm"),
            rule(true, 'b', Some(8), None, "r"),
            rule(false, 'b', Some(8), Some(1), "r"),
        ]);
        assert!(run(&program, CHARACTER, READ | WRITE, 1, 3));
        assert!(!run(&program, CHARACTER, READ, 1, 4));
        assert!(run(&program, CHARACTER, MKNOD, 200, 4));
        assert!(!run(&program, BLOCK, MKNOD, 200, 4));
        assert!(run(&program, BLOCK, READ, 8, 0));
        assert!(!run(&program, BLOCK, READ | WRITE, 8, 0));
        assert!(!run(&program, BLOCK, READ, 8, 1));
    }

    #[test]
    fn no_rule_allows_nothing() {
        assert!(!run(&compile(&[]), CHARACTER, READ, 1, 3));
        assert!(run(&compile(&[rule(true, 'a', None, None, "rwm")]), BLOCK, WRITE, 7, 7));
    }
}
