//! Which encoding an operation has at each vector size.

use super::code::Size;
use super::{Result, refuse};
use iced_x86::Code;
use mlc_ir::DType;
use mlc_ir::tile::{Binary, Compare, Type, Unary};

/// The encodings on xmm, ymm and zmm.
pub type Codes = [Code; 3];

macro_rules! codes {
    ($($name:ident: $x:ident $y:ident $z:ident;)+) => {
        $(pub const $name: Codes = [Code::$x, Code::$y, Code::$z];)+
    };
}

codes! {
    LOAD: EVEX_Vmovups_xmm_k1z_xmmm128 EVEX_Vmovups_ymm_k1z_ymmm256 EVEX_Vmovups_zmm_k1z_zmmm512;
    STORE: EVEX_Vmovups_xmmm128_k1z_xmm EVEX_Vmovups_ymmm256_k1z_ymm EVEX_Vmovups_zmmm512_k1z_zmm;
    MOVE: EVEX_Vmovaps_xmm_k1z_xmmm128 EVEX_Vmovaps_ymm_k1z_ymmm256 EVEX_Vmovaps_zmm_k1z_zmmm512;
    BROADCAST: EVEX_Vbroadcastss_xmm_k1z_xmmm32 EVEX_Vbroadcastss_ymm_k1z_xmmm32 EVEX_Vbroadcastss_zmm_k1z_xmmm32;
    BROADCAST_GENERAL: EVEX_Vpbroadcastd_xmm_k1z_r32 EVEX_Vpbroadcastd_ymm_k1z_r32 EVEX_Vpbroadcastd_zmm_k1z_r32;
    FMA_ADD: EVEX_Vfmadd231ps_xmm_k1z_xmm_xmmm128b32 EVEX_Vfmadd231ps_ymm_k1z_ymm_ymmm256b32
        EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er;
    FMA_MULTIPLY: EVEX_Vfmadd213ps_xmm_k1z_xmm_xmmm128b32 EVEX_Vfmadd213ps_ymm_k1z_ymm_ymmm256b32
        EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er;
    BLEND: EVEX_Vblendmps_xmm_k1z_xmm_xmmm128b32 EVEX_Vblendmps_ymm_k1z_ymm_ymmm256b32
        EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32;
    COMPARE_FLOAT: EVEX_Vcmpps_kr_k1_xmm_xmmm128b32_imm8 EVEX_Vcmpps_kr_k1_ymm_ymmm256b32_imm8
        EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae;
    COMPARE_SIGNED: EVEX_Vpcmpd_kr_k1_xmm_xmmm128b32_imm8 EVEX_Vpcmpd_kr_k1_ymm_ymmm256b32_imm8
        EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8;
    COMPARE_UNSIGNED: EVEX_Vpcmpud_kr_k1_xmm_xmmm128b32_imm8 EVEX_Vpcmpud_kr_k1_ymm_ymmm256b32_imm8
        EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8;
    TEST: EVEX_Vptestmd_kr_k1_xmm_xmmm128b32 EVEX_Vptestmd_kr_k1_ymm_ymmm256b32 EVEX_Vptestmd_kr_k1_zmm_zmmm512b32;
    FLOAT_OF_INT: EVEX_Vcvtdq2ps_xmm_k1z_xmmm128b32 EVEX_Vcvtdq2ps_ymm_k1z_ymmm256b32 EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er;
    INT_OF_FLOAT: EVEX_Vcvttps2dq_xmm_k1z_xmmm128b32 EVEX_Vcvttps2dq_ymm_k1z_ymmm256b32
        EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae;
    WIDEN_SIGNED_BYTES: EVEX_Vpmovsxbd_xmm_k1z_xmmm32 EVEX_Vpmovsxbd_ymm_k1z_xmmm64 EVEX_Vpmovsxbd_zmm_k1z_xmmm128;
    WIDEN_BYTES: EVEX_Vpmovzxbd_xmm_k1z_xmmm32 EVEX_Vpmovzxbd_ymm_k1z_xmmm64 EVEX_Vpmovzxbd_zmm_k1z_xmmm128;
    ROUND: EVEX_Vrndscaleps_xmm_k1z_xmmm128b32_imm8 EVEX_Vrndscaleps_ymm_k1z_ymmm256b32_imm8
        EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae;
    SQRT: EVEX_Vsqrtps_xmm_k1z_xmmm128b32 EVEX_Vsqrtps_ymm_k1z_ymmm256b32 EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er;
    ADD_F: EVEX_Vaddps_xmm_k1z_xmm_xmmm128b32 EVEX_Vaddps_ymm_k1z_ymm_ymmm256b32 EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er;
    SUB_F: EVEX_Vsubps_xmm_k1z_xmm_xmmm128b32 EVEX_Vsubps_ymm_k1z_ymm_ymmm256b32 EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er;
    MUL_F: EVEX_Vmulps_xmm_k1z_xmm_xmmm128b32 EVEX_Vmulps_ymm_k1z_ymm_ymmm256b32 EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er;
    DIV_F: EVEX_Vdivps_xmm_k1z_xmm_xmmm128b32 EVEX_Vdivps_ymm_k1z_ymm_ymmm256b32 EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er;
    MIN_F: EVEX_Vminps_xmm_k1z_xmm_xmmm128b32 EVEX_Vminps_ymm_k1z_ymm_ymmm256b32 EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae;
    MAX_F: EVEX_Vmaxps_xmm_k1z_xmm_xmmm128b32 EVEX_Vmaxps_ymm_k1z_ymm_ymmm256b32 EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae;
    ADD: EVEX_Vpaddd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpaddd_ymm_k1z_ymm_ymmm256b32 EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32;
    SUB: EVEX_Vpsubd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpsubd_ymm_k1z_ymm_ymmm256b32 EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32;
    MUL: EVEX_Vpmulld_xmm_k1z_xmm_xmmm128b32 EVEX_Vpmulld_ymm_k1z_ymm_ymmm256b32 EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32;
    AND: EVEX_Vpandd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpandd_ymm_k1z_ymm_ymmm256b32 EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32;
    OR: EVEX_Vpord_xmm_k1z_xmm_xmmm128b32 EVEX_Vpord_ymm_k1z_ymm_ymmm256b32 EVEX_Vpord_zmm_k1z_zmm_zmmm512b32;
    XOR: EVEX_Vpxord_xmm_k1z_xmm_xmmm128b32 EVEX_Vpxord_ymm_k1z_ymm_ymmm256b32 EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32;
    MIN_S: EVEX_Vpminsd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpminsd_ymm_k1z_ymm_ymmm256b32 EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32;
    MAX_S: EVEX_Vpmaxsd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpmaxsd_ymm_k1z_ymm_ymmm256b32 EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32;
    MIN_U: EVEX_Vpminud_xmm_k1z_xmm_xmmm128b32 EVEX_Vpminud_ymm_k1z_ymm_ymmm256b32 EVEX_Vpminud_zmm_k1z_zmm_zmmm512b32;
    MAX_U: EVEX_Vpmaxud_xmm_k1z_xmm_xmmm128b32 EVEX_Vpmaxud_ymm_k1z_ymm_ymmm256b32 EVEX_Vpmaxud_zmm_k1z_zmm_zmmm512b32;
    SHIFT_LEFT: EVEX_Vpsllvd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpsllvd_ymm_k1z_ymm_ymmm256b32
        EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32;
    SHIFT_RIGHT_S: EVEX_Vpsravd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpsravd_ymm_k1z_ymm_ymmm256b32
        EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32;
    SHIFT_RIGHT_U: EVEX_Vpsrlvd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpsrlvd_ymm_k1z_ymm_ymmm256b32
        EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32;
}

/// Whether the last register of an instruction may be memory instead, also one element for all lanes.
pub fn takes_memory(code: Code) -> bool {
    const TAKE: &[Codes] = &[
        FMA_ADD,
        FMA_MULTIPLY,
        BLEND,
        COMPARE_FLOAT,
        COMPARE_SIGNED,
        COMPARE_UNSIGNED,
        FLOAT_OF_INT,
        INT_OF_FLOAT,
        ROUND,
        SQRT,
        ADD_F,
        SUB_F,
        MUL_F,
        DIV_F,
        MIN_F,
        MAX_F,
        ADD,
        SUB,
        MUL,
        AND,
        OR,
        XOR,
        MIN_S,
        MAX_S,
        MIN_U,
        MAX_U,
        SHIFT_LEFT,
        SHIFT_RIGHT_S,
        SHIFT_RIGHT_U,
    ];
    TAKE.iter().any(|codes| codes.contains(&code))
}

/// The code of a size.
pub fn at(codes: &Codes, size: Size) -> Code {
    match size {
        Size::Ymm => codes[1],
        Size::Zmm => codes[2],
        _ => codes[0],
    }
}

/// The size of lanes of 32 bits.
pub fn size(ty: Type) -> Result<Size> {
    match (ty.dtype, ty.lanes) {
        (DType::F32, 1) | (DType::F32 | DType::I32 | DType::U32, 4) => Ok(Size::Xmm),
        (DType::F32 | DType::I32 | DType::U32, 8) => Ok(Size::Ymm),
        (DType::F32 | DType::I32 | DType::U32, 16) => Ok(Size::Zmm),
        _ => refuse(format!("a value of type {ty}")),
    }
}

/// An operation on lanes.
pub fn binary(op: Binary, dtype: DType) -> Result<&'static Codes> {
    Ok(match (op, dtype) {
        (Binary::Add, DType::F32) => &ADD_F,
        (Binary::Sub, DType::F32) => &SUB_F,
        (Binary::Mul, DType::F32) => &MUL_F,
        (Binary::Div, DType::F32) => &DIV_F,
        (Binary::Min, DType::F32) => &MIN_F,
        (Binary::Max, DType::F32) => &MAX_F,
        (Binary::Add, DType::I32 | DType::U32) => &ADD,
        (Binary::Sub, DType::I32 | DType::U32) => &SUB,
        (Binary::Mul, DType::I32 | DType::U32) => &MUL,
        (Binary::And, DType::I32 | DType::U32) => &AND,
        (Binary::Or, DType::I32 | DType::U32) => &OR,
        (Binary::Xor, DType::I32 | DType::U32) => &XOR,
        (Binary::Min, DType::I32) => &MIN_S,
        (Binary::Max, DType::I32) => &MAX_S,
        (Binary::Min, DType::U32) => &MIN_U,
        (Binary::Max, DType::U32) => &MAX_U,
        (Binary::Shl, DType::I32 | DType::U32) => &SHIFT_LEFT,
        (Binary::Shr, DType::I32) => &SHIFT_RIGHT_S,
        (Binary::Shr, DType::U32) => &SHIFT_RIGHT_U,
        _ => return refuse(format!("{} of {dtype} lanes", op.name())),
    })
}

/// The mode of vrndscaleps: to an integer, and which.
pub fn rounding(op: Unary) -> Option<u8> {
    Some(match op {
        Unary::Round => 8,
        Unary::Floor => 9,
        Unary::Ceil => 10,
        Unary::Trunc => 11,
        _ => return None,
    })
}

/// The predicate of a comparison: of floats false on NaN but for `Ne`.
pub fn predicate(op: Compare, float: bool) -> u8 {
    match (op, float) {
        (Compare::Eq, _) => 0,
        (Compare::Ne, _) => 4,
        (Compare::Lt, true) => 0x11,
        (Compare::Le, true) => 0x12,
        (Compare::Lt, false) => 1,
        (Compare::Le, false) => 2,
    }
}
