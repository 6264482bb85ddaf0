//! What is wrong is found.

mod block;
mod fragments;
mod products;

use crate::{Device, Module};

/// An entry that does something with a pointer in `%d0` and its thread's number in `%d1`.
fn run(body: &str) -> Result<Vec<u8>, String> {
    let text = format!(
        ".version 6.3\n.target sm_75\n.address_size 64\n.visible .entry k(\n.param .u64 p\n)\n{{\n.reg .b64 %d<9>;\n\
         .reg .b32 %r<9>;\n.reg .pred %p<9>;\n.local .align 16 .b8 own[16];\nld.param.u64 %d0, [p];\nmov.u32 %r0, %tid.x;\ncvt.u64.u32 %d1, %r0;\n\
         {body}\nret;\n}}\n"
    );
    let module = Module::parse(&text)?;
    let mut device = Device::new();
    let address = device.allocate(64);
    module.entries[0].launch([1; 3], 16, &address.to_le_bytes(), &mut device)?;
    let mut bytes = vec![0; 64];
    device.read(address, &mut bytes)?;
    Ok(bytes)
}

const PLACE: &str = "mad.lo.s64 %d2, %d1, 4, %d0;\n";

#[test]
fn branches_part_and_meet() {
    let body = format!(
        "{PLACE}setp.lt.u32 %p0, %r0, 3;\n@%p0 bra $A;\nmov.b32 %r1, 7;\nbra $B;\n$A:\nmov.b32 %r1, 9;\n$B:\n\
         st.global.u32 [%d2], %r1;"
    );
    let bytes = run(&body).unwrap();
    let words: Vec<u8> = bytes.chunks(4).map(|word| word[0]).collect();
    assert_eq!(words, [[9; 3].as_slice(), [7; 13].as_slice()].concat());
}

#[test]
fn threads_have_memory_of_their_own() {
    let body = format!(
        "{PLACE}mov.u64 %d3, own;\nst.local.u32 [%d3+4], %r0;\nld.local.u32 %r1, [%d3+4];\nst.global.u32 [%d2], %r1;"
    );
    let bytes = run(&body).unwrap();
    assert!(bytes.chunks(4).map(|word| usize::from(word[0])).eq(0..16));
}

#[test]
fn wrong_programs_are_refused() {
    let cases = [
        ("vote.all.pred %p0, %p1;", "unknown instruction"),
        ("add.ftz.s32 %r1, %r0, %r0;", "unknown instruction"),
        ("add.s32 %r1, %r2, %r0;", "not written"),
        ("ld.global.u32 %r1, [%d0];", "never written"),
        ("st.global.u32 [%d0], %r0;", "a race"),
        ("add.s64 %d2, %d0, 64;\nst.global.u32 [%d2], %r0;", "outside every allocation"),
        ("add.s64 %d2, %d0, 2;\nst.global.u32 [%d2], %r0;", "no multiple of 4"),
        ("mov.u64 %d3, own;\nld.local.u32 %r1, [%d3];", "never wrote"),
        ("mov.u64 %d3, own;\nst.local.u32 [%d3+16], %r0;", "outside the thread's memory"),
        ("mov.u64 %d3, own;\nst.global.u32 [%d3], %r0;", "outside every allocation"),
        ("st.local.u32 [%d0], %r0;", "outside the thread's memory"),
        ("st.global.v2.u32 [%d0+4], {%r0, %r0};", "no multiple of 8"),
    ];
    for (body, expected) in cases {
        let why = run(body).expect_err(body);
        assert!(why.contains(expected), "{body}: {why}");
    }
}
