//! Every tile prints as a text that reads back as the same tile, sensible or not.

use crate::tile::{
    Access, Binary, Compare, Fragment, InRange, Inst, Lines, LoopKind, Math, Monoid, Op, Operand, Param, Phase, Ref,
    Role, Row, Space, Tile, Type, Unary, parse,
};
use crate::{DType, Index, Name};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn local() -> impl Strategy<Value = Name> + Clone {
    select(vec!["i", "j", "t", "v.1", "0"]).prop_map(Name::from)
}

fn name() -> impl Strategy<Value = Name> + Clone {
    select(vec!["n", "batch size", "a.b", "first", "step", "and", "tasks", "it's"]).prop_map(Name::from)
}

fn index() -> impl Strategy<Value = Index> + Clone {
    let leaf =
        prop_oneof![(-1000i64..1000).prop_map(Index::from), local().prop_map(Index::var), name().prop_map(Index::sym),];
    leaf.prop_recursive(3, 12, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            two.clone().prop_map(|(a, b)| a + b),
            two.clone().prop_map(|(a, b)| a * b),
            two.clone().prop_map(|(a, b)| a.lesser(&b)),
            two.clone().prop_map(|(a, b)| a.greater(&b)),
            (inner.clone(), 1i64..50).prop_map(|(a, n)| a.div(&n.into())),
            (inner.clone(), 1i64..50).prop_map(|(a, n)| a.rem(&n.into())),
            (inner.clone(), name()).prop_map(|(a, n)| a.div(&Index::sym(n))),
            vec(inner, 0..3).prop_map(|index| Index::at(3, index)),
        ]
    })
}

fn ty() -> impl Strategy<Value = Type> + Clone {
    (select(DType::all().collect::<Vec<_>>()), select(vec![1, 2, 4, 16]))
        .prop_map(|(dtype, lanes)| Type { dtype, lanes })
}

fn reference() -> impl Strategy<Value = Ref> + Clone {
    (local(), vec(index(), 0..3)).prop_map(|(name, at)| Ref { name, at })
}

fn operand() -> impl Strategy<Value = Operand> + Clone {
    let floats =
        prop_oneof![Just(-0.0), Just(f64::INFINITY), any::<f64>().prop_filter("equal to itself", |x| !x.is_nan())];
    prop_oneof![
        reference().prop_map(Operand::Ref),
        floats.prop_map(Operand::Float),
        prop_oneof![Just(i64::MIN), any::<i64>()].prop_map(Operand::Int),
    ]
}

fn access() -> impl Strategy<Value = Access> + Clone {
    prop_oneof![
        (0u32..5, vec(index(), 0..3)).prop_map(|(buffer, index)| Access::Indexed { buffer, index }),
        (local(), -5000i64..5000, 0u32..5).prop_map(|(cursor, offset, buffer)| Access::Linear {
            cursor,
            offset,
            buffer
        }),
    ]
}

fn fragment() -> impl Strategy<Value = Fragment> + Clone {
    let row = select(Row::matrices().chain(["f32x4"]).collect::<Vec<_>>()).prop_map(Name::from);
    let lines = prop_oneof![(0u32..4).prop_map(Lines::Along), Just(Lines::Same), index().prop_map(Lines::Apart)];
    (row, select(Role::ALL), any::<bool>(), lines).prop_map(|(row, role, transposed, lines)| Fragment {
        row,
        role,
        transposed,
        lines,
    })
}

fn op() -> impl Strategy<Value = Op> + Clone {
    let (a, two) = (operand(), (operand(), operand()));
    prop_oneof![
        (access(), option::of(index())).prop_map(|(from, first)| Op::Load(from, first)),
        (access(), fragment()).prop_map(|(from, of)| Op::Fragment(from, of)),
        access().prop_map(Op::Broadcast),
        a.clone().prop_map(Op::Splat),
        Just(Op::Iota),
        index().prop_map(Op::Index),
        (a.clone(), 0u16..64).prop_map(|(a, lane)| Op::Lane(a, lane)),
        vec(operand(), 0..4).prop_map(Op::Pack),
        (select(Monoid::ALL), a.clone()).prop_map(|(monoid, a)| Op::Reduce(monoid, a)),
        (select(Unary::ALL), a.clone()).prop_map(|(op, a)| Op::Unary(op, a)),
        (select(Binary::ALL), two.clone()).prop_map(|(op, (a, b))| Op::Binary(op, a, b)),
        (a.clone(), two.clone()).prop_map(|(a, (b, c))| Op::Fma(a, b, c)),
        (select(Compare::ALL), ty(), two.clone()).prop_map(|(op, ty, (a, b))| Op::Compare(op, ty, a, b)),
        (a.clone(), two).prop_map(|(a, (b, c))| Op::Select(a, b, c)),
        (ty(), a.clone()).prop_map(|(ty, a)| Op::Convert(ty, a)),
        (ty(), a).prop_map(|(ty, a)| Op::Bitcast(ty, a)),
        (select(Math::ALL), vec(operand(), 1..3)).prop_map(|(math, args)| Op::Math(math, args)),
    ]
}

fn simple() -> impl Strategy<Value = Inst> + Clone {
    prop_oneof![
        (local(), ty(), vec(1u32..9, 0..3), operand()).prop_map(|(name, ty, dims, init)| Inst::Cell {
            name,
            ty,
            dims,
            init
        }),
        (reference(), operand()).prop_map(|(cell, value)| Inst::Set { cell, value }),
        (name(), reference(), operand(), operand()).prop_map(|(row, cell, a, b)| Inst::Dot { row, cell, a, b }),
        (reference(), ty(), op()).prop_map(|(dst, ty, op)| Inst::Let { dst, ty, op }),
        (access(), operand(), ty(), option::of(index())).prop_map(|(to, value, ty, first)| Inst::Store {
            to,
            value,
            ty,
            first
        }),
        (access(), operand(), ty(), fragment()).prop_map(|(to, value, ty, of)| Inst::StoreFragment {
            to,
            value,
            ty,
            of
        }),
        (access(), access(), ty(), option::of(index())).prop_map(|(to, from, ty, first)| Inst::Copy {
            to,
            from,
            ty,
            first
        }),
        Just(Inst::Commit),
        (0u32..4).prop_map(Inst::Wait),
        (local(), 0u32..5, index(), option::of((local(), index())))
            .prop_map(|(name, buffer, offset, advance)| Inst::Cursor { name, buffer, offset, advance }),
    ]
}

fn inst() -> impl Strategy<Value = Inst> + Clone {
    let test = (index(), index(), index()).prop_map(|(index, low, high)| InRange { index, low, high });
    simple().prop_recursive(3, 12, 3, move |inner| {
        let body = vec(inner, 0..3);
        prop_oneof![
            (select(LoopKind::ALL), local(), index(), index(), 1i64..9, body.clone())
                .prop_map(|(kind, var, low, high, step, body)| Inst::Loop { kind, var, low, high, step, body }),
            (vec(test.clone(), 0..3), body.clone(), body).prop_map(|(all, then, otherwise)| Inst::If {
                all,
                then,
                otherwise
            }),
        ]
    })
}

fn param() -> impl Strategy<Value = Param> + Clone {
    (name(), select(DType::all().collect::<Vec<_>>()), vec(index(), 0..3), select(Space::ALL), 0u32..100, any::<bool>())
        .prop_map(|(name, dtype, dims, space, slack, stream)| Param { name, dtype, dims, space, slack, stream })
}

fn any_tile() -> impl Strategy<Value = Tile> + Clone {
    let header = (name(), select(Phase::ALL), vec(param(), 0..3), vec(name(), 0..3));
    (header, (local(), index()), vec(inst(), 0..5)).prop_map(|((name, phase, params, symbols), tasks, body)| Tile {
        name,
        params,
        symbols,
        tasks,
        body,
        phase,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn text_parses_again(tile in any_tile()) {
        let text = tile.to_string();
        match parse(&text) {
            Ok(read) => prop_assert_eq!(&read, &tile, "{}", text),
            Err(e) => prop_assert!(false, "{} in\n{}", e, text),
        }
    }

    #[test]
    fn bad_texts_and_tiles_are_errors(tile in any_tile(), cut in 0usize..400) {
        let _ = crate::tile::verify(&tile, &crate::Facts::default());
        let text = tile.to_string();
        let _ = parse(&text.chars().take(cut).collect::<String>());
        let mut buffers = vec![crate::tile::interp::Buffer::empty(0); tile.params.len()];
        let _ = crate::tile::interp::run(&tile, &mut buffers, &vec![1; tile.symbols.len()], 0..1);
    }
}

#[test]
fn the_text_is_as_documented() {
    let text = super::examples::SILU;
    let printed = super::tile(text).to_string();
    assert_eq!(
        printed,
        "tile silu indexed (@0 x: f32[n] input, @1 y: f32[n] output) symbols n tasks %t: floordiv(n + 63, 64) {
  loop serial %i in 0..floordiv(min(64, -64*%t + n) + 15, 16) {
    %v = load f32x16 @0[16*%i + 64*%t], first -16*%i - 64*%t + n
    %q = neg f32x16 %v
    %e = math f32x16 exp (%q)
    %d = add f32x16 %e, 1.0
    %r = div f32x16 %v, %d
    store f32x16 @1[16*%i + 64*%t], %r, first -16*%i - 64*%t + n
  }
}
"
    );
}

#[test]
fn errors_have_a_line() {
    for (text, message) in [
        ("tile t indexed () tasks %t: 1 {\n  halt\n}", "line 2: `halt` is no instruction"),
        ("tile t round () tasks %t: 1 {}", "line 1: `round` is no phase"),
        ("tile t indexed (@1 x: f32[] input) tasks %t: 1 {}", "line 1: expected buffer @0, found @1"),
        ("tile t indexed () tasks %t: 1 {\n %v = frobnicate f32 1.0 }", "line 2: `frobnicate` computes nothing"),
        ("tile t indexed () tasks %t: 1 { %v = neg f33 1.0 }", "line 1: `f33` is no type"),
        ("tile t indexed () tasks %t: 1 {} more", "line 1: expected the end of the tile, found `more`"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), message);
    }
}
