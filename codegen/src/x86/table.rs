//! Which encoding an operation has at each vector size.

use super::code::Size;
use super::{Isa, Result, refuse};
use iced_x86::Code;
use mlc_ir::DType;
use mlc_ir::tile::{Binary, Compare, Type, Unary};

/// The encodings of an instruction on xmm, ymm and zmm, as far as it has them.
#[derive(PartialEq, Eq)]
pub struct Codes {
    /// With AVX-512.
    pub evex: &'static [Code],
    /// With AVX2: neither zmm nor masks, and no operand is an element for all lanes.
    pub vex: &'static [Code],
}

macro_rules! codes {
    ($($name:ident: [$($evex:ident)*] [$($vex:ident)*];)+) => {
        $(pub const $name: Codes = Codes { evex: &[$(Code::$evex),*], vex: &[$(Code::$vex),*] };)+

        /// Every row with its name.
        pub const ALL: &[(&str, Codes)] = &[$((stringify!($name), $name)),+];
    };
}

impl Codes {
    pub fn at(&self, isa: Isa, size: Size) -> Code {
        let codes = if isa == Isa::Avx512 { self.evex } else { self.vex };
        match size {
            Size::Ymm => codes[1],
            Size::Zmm => codes[2],
            _ => codes[0],
        }
    }

    pub fn contains(&self, code: Code) -> bool {
        self.evex.contains(&code) || self.vex.contains(&code)
    }
}

codes! {
    LOAD: [EVEX_Vmovups_xmm_k1z_xmmm128 EVEX_Vmovups_ymm_k1z_ymmm256 EVEX_Vmovups_zmm_k1z_zmmm512]
        [VEX_Vmovups_xmm_xmmm128 VEX_Vmovups_ymm_ymmm256];
    STORE: [EVEX_Vmovups_xmmm128_k1z_xmm EVEX_Vmovups_ymmm256_k1z_ymm EVEX_Vmovups_zmmm512_k1z_zmm]
        [VEX_Vmovups_xmmm128_xmm VEX_Vmovups_ymmm256_ymm];
    LOAD_SCALAR: [EVEX_Vmovss_xmm_k1z_m32] [VEX_Vmovss_xmm_m32];
    STORE_SCALAR: [EVEX_Vmovss_m32_k1_xmm] [VEX_Vmovss_m32_xmm];
    MOVE: [EVEX_Vmovaps_xmm_k1z_xmmm128 EVEX_Vmovaps_ymm_k1z_ymmm256 EVEX_Vmovaps_zmm_k1z_zmmm512]
        [VEX_Vmovaps_xmm_xmmm128 VEX_Vmovaps_ymm_ymmm256];
    MOVE_TO_GENERAL: [EVEX_Vmovd_rm32_xmm] [VEX_Vmovd_rm32_xmm];
    MOVE_FROM_GENERAL: [EVEX_Vmovd_xmm_rm32] [VEX_Vmovd_xmm_rm32];
    BROADCAST: [EVEX_Vbroadcastss_xmm_k1z_xmmm32 EVEX_Vbroadcastss_ymm_k1z_xmmm32 EVEX_Vbroadcastss_zmm_k1z_xmmm32]
        [VEX_Vbroadcastss_xmm_m32 VEX_Vbroadcastss_ymm_m32];
    SPLAT: [EVEX_Vbroadcastss_xmm_k1z_xmmm32 EVEX_Vbroadcastss_ymm_k1z_xmmm32 EVEX_Vbroadcastss_zmm_k1z_xmmm32]
        [VEX_Vbroadcastss_xmm_xmm VEX_Vbroadcastss_ymm_xmm];
    BROADCAST_GENERAL: [EVEX_Vpbroadcastd_xmm_k1z_r32 EVEX_Vpbroadcastd_ymm_k1z_r32 EVEX_Vpbroadcastd_zmm_k1z_r32] [];
    FMA_ADD: [EVEX_Vfmadd231ps_xmm_k1z_xmm_xmmm128b32 EVEX_Vfmadd231ps_ymm_k1z_ymm_ymmm256b32
        EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er]
        [VEX_Vfmadd231ps_xmm_xmm_xmmm128 VEX_Vfmadd231ps_ymm_ymm_ymmm256];
    FMA_MULTIPLY: [EVEX_Vfmadd213ps_xmm_k1z_xmm_xmmm128b32 EVEX_Vfmadd213ps_ymm_k1z_ymm_ymmm256b32
        EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er]
        [VEX_Vfmadd213ps_xmm_xmm_xmmm128 VEX_Vfmadd213ps_ymm_ymm_ymmm256];
    BLEND: [EVEX_Vblendmps_xmm_k1z_xmm_xmmm128b32 EVEX_Vblendmps_ymm_k1z_ymm_ymmm256b32
        EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vblendvps_xmm_xmm_xmmm128_xmm VEX_Vblendvps_ymm_ymm_ymmm256_ymm];
    COMPARE_FLOAT: [EVEX_Vcmpps_kr_k1_xmm_xmmm128b32_imm8 EVEX_Vcmpps_kr_k1_ymm_ymmm256b32_imm8
        EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae]
        [VEX_Vcmpps_xmm_xmm_xmmm128_imm8 VEX_Vcmpps_ymm_ymm_ymmm256_imm8];
    COMPARE_SIGNED: [EVEX_Vpcmpd_kr_k1_xmm_xmmm128b32_imm8 EVEX_Vpcmpd_kr_k1_ymm_ymmm256b32_imm8
        EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8]
        [];
    COMPARE_UNSIGNED: [EVEX_Vpcmpud_kr_k1_xmm_xmmm128b32_imm8 EVEX_Vpcmpud_kr_k1_ymm_ymmm256b32_imm8
        EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8]
        [];
    TEST: [EVEX_Vptestmd_kr_k1_xmm_xmmm128b32 EVEX_Vptestmd_kr_k1_ymm_ymmm256b32 EVEX_Vptestmd_kr_k1_zmm_zmmm512b32] [];
    EQUAL: [] [VEX_Vpcmpeqd_xmm_xmm_xmmm128 VEX_Vpcmpeqd_ymm_ymm_ymmm256];
    FLOAT_OF_GENERAL: [EVEX_Vcvtsi2ss_xmm_xmm_rm64_er] [VEX_Vcvtsi2ss_xmm_xmm_rm64];
    FLOAT_OF_INT: [EVEX_Vcvtdq2ps_xmm_k1z_xmmm128b32 EVEX_Vcvtdq2ps_ymm_k1z_ymmm256b32
        EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er]
        [VEX_Vcvtdq2ps_xmm_xmmm128 VEX_Vcvtdq2ps_ymm_ymmm256];
    INT_OF_FLOAT: [EVEX_Vcvttps2dq_xmm_k1z_xmmm128b32 EVEX_Vcvttps2dq_ymm_k1z_ymmm256b32
        EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae]
        [VEX_Vcvttps2dq_xmm_xmmm128 VEX_Vcvttps2dq_ymm_ymmm256];
    WIDEN_SIGNED_BYTES: [EVEX_Vpmovsxbd_xmm_k1z_xmmm32 EVEX_Vpmovsxbd_ymm_k1z_xmmm64 EVEX_Vpmovsxbd_zmm_k1z_xmmm128]
        [VEX_Vpmovsxbd_xmm_xmmm32 VEX_Vpmovsxbd_ymm_xmmm64];
    WIDEN_BYTES: [EVEX_Vpmovzxbd_xmm_k1z_xmmm32 EVEX_Vpmovzxbd_ymm_k1z_xmmm64 EVEX_Vpmovzxbd_zmm_k1z_xmmm128]
        [VEX_Vpmovzxbd_xmm_xmmm32 VEX_Vpmovzxbd_ymm_xmmm64];
    STORE_BYTES: [EVEX_Vpmovdb_xmmm32_k1z_xmm EVEX_Vpmovdb_xmmm64_k1z_ymm EVEX_Vpmovdb_xmmm128_k1z_zmm] [];
    PACK_WORDS: [] [VEX_Vpackssdw_xmm_xmm_xmmm128];
    PACK_SIGNED_BYTES: [] [VEX_Vpacksswb_xmm_xmm_xmmm128];
    PACK_BYTES: [] [VEX_Vpackuswb_xmm_xmm_xmmm128];
    STORE_FOUR_BYTES: [] [VEX_Vmovd_rm32_xmm];
    STORE_EIGHT_BYTES: [] [VEX_Vmovq_xmmm64_xmm];
    FLOAT_OF_HALF: [EVEX_Vcvtph2ps_xmm_k1z_xmmm64 EVEX_Vcvtph2ps_ymm_k1z_xmmm128 EVEX_Vcvtph2ps_zmm_k1z_ymmm256_sae]
        [VEX_Vcvtph2ps_xmm_xmmm64 VEX_Vcvtph2ps_ymm_xmmm128];
    HALF_OF_FLOAT: [EVEX_Vcvtps2ph_xmmm64_k1z_xmm_imm8 EVEX_Vcvtps2ph_xmmm128_k1z_ymm_imm8
        EVEX_Vcvtps2ph_ymmm256_k1z_zmm_imm8_sae]
        [VEX_Vcvtps2ph_xmmm64_xmm_imm8 VEX_Vcvtps2ph_xmmm128_ymm_imm8];
    PERMUTE: [EVEX_Vpermilps_xmm_k1z_xmmm128b32_imm8] [VEX_Vpermilps_xmm_xmmm128_imm8];
    INSERT_LANE: [EVEX_Vinsertps_xmm_xmm_xmmm32_imm8] [VEX_Vinsertps_xmm_xmm_xmmm32_imm8];
    INSERT_QUARTER: [INVALID EVEX_Vinsertf32x4_ymm_k1z_ymm_xmmm128_imm8 EVEX_Vinsertf32x4_zmm_k1z_zmm_xmmm128_imm8]
        [INVALID VEX_Vinsertf128_ymm_ymm_xmmm128_imm8];
    EXTRACT_QUARTER: [INVALID EVEX_Vextractf32x4_xmmm128_k1z_ymm_imm8 EVEX_Vextractf32x4_xmmm128_k1z_zmm_imm8]
        [INVALID VEX_Vextractf128_xmmm128_ymm_imm8];
    EXTRACT_HALF: [INVALID EVEX_Vextractf32x4_xmmm128_k1z_ymm_imm8 EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8]
        [INVALID VEX_Vextractf128_xmmm128_ymm_imm8];
    ROUND: [EVEX_Vrndscaleps_xmm_k1z_xmmm128b32_imm8 EVEX_Vrndscaleps_ymm_k1z_ymmm256b32_imm8
        EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae]
        [VEX_Vroundps_xmm_xmmm128_imm8 VEX_Vroundps_ymm_ymmm256_imm8];
    SQRT: [EVEX_Vsqrtps_xmm_k1z_xmmm128b32 EVEX_Vsqrtps_ymm_k1z_ymmm256b32 EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er]
        [VEX_Vsqrtps_xmm_xmmm128 VEX_Vsqrtps_ymm_ymmm256];
    ADD_F: [EVEX_Vaddps_xmm_k1z_xmm_xmmm128b32 EVEX_Vaddps_ymm_k1z_ymm_ymmm256b32 EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er]
        [VEX_Vaddps_xmm_xmm_xmmm128 VEX_Vaddps_ymm_ymm_ymmm256];
    SUB_F: [EVEX_Vsubps_xmm_k1z_xmm_xmmm128b32 EVEX_Vsubps_ymm_k1z_ymm_ymmm256b32 EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er]
        [VEX_Vsubps_xmm_xmm_xmmm128 VEX_Vsubps_ymm_ymm_ymmm256];
    MUL_F: [EVEX_Vmulps_xmm_k1z_xmm_xmmm128b32 EVEX_Vmulps_ymm_k1z_ymm_ymmm256b32 EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er]
        [VEX_Vmulps_xmm_xmm_xmmm128 VEX_Vmulps_ymm_ymm_ymmm256];
    DIV_F: [EVEX_Vdivps_xmm_k1z_xmm_xmmm128b32 EVEX_Vdivps_ymm_k1z_ymm_ymmm256b32 EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er]
        [VEX_Vdivps_xmm_xmm_xmmm128 VEX_Vdivps_ymm_ymm_ymmm256];
    MIN_F: [EVEX_Vminps_xmm_k1z_xmm_xmmm128b32 EVEX_Vminps_ymm_k1z_ymm_ymmm256b32
        EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae]
        [VEX_Vminps_xmm_xmm_xmmm128 VEX_Vminps_ymm_ymm_ymmm256];
    MAX_F: [EVEX_Vmaxps_xmm_k1z_xmm_xmmm128b32 EVEX_Vmaxps_ymm_k1z_ymm_ymmm256b32
        EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae]
        [VEX_Vmaxps_xmm_xmm_xmmm128 VEX_Vmaxps_ymm_ymm_ymmm256];
    ADD: [EVEX_Vpaddd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpaddd_ymm_k1z_ymm_ymmm256b32 EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpaddd_xmm_xmm_xmmm128 VEX_Vpaddd_ymm_ymm_ymmm256];
    SUB: [EVEX_Vpsubd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpsubd_ymm_k1z_ymm_ymmm256b32 EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpsubd_xmm_xmm_xmmm128 VEX_Vpsubd_ymm_ymm_ymmm256];
    MUL: [EVEX_Vpmulld_xmm_k1z_xmm_xmmm128b32 EVEX_Vpmulld_ymm_k1z_ymm_ymmm256b32 EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpmulld_xmm_xmm_xmmm128 VEX_Vpmulld_ymm_ymm_ymmm256];
    AND: [EVEX_Vpandd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpandd_ymm_k1z_ymm_ymmm256b32 EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpand_xmm_xmm_xmmm128 VEX_Vpand_ymm_ymm_ymmm256];
    OR: [EVEX_Vpord_xmm_k1z_xmm_xmmm128b32 EVEX_Vpord_ymm_k1z_ymm_ymmm256b32 EVEX_Vpord_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpor_xmm_xmm_xmmm128 VEX_Vpor_ymm_ymm_ymmm256];
    XOR: [EVEX_Vpxord_xmm_k1z_xmm_xmmm128b32 EVEX_Vpxord_ymm_k1z_ymm_ymmm256b32 EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpxor_xmm_xmm_xmmm128 VEX_Vpxor_ymm_ymm_ymmm256];
    MIN_S: [EVEX_Vpminsd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpminsd_ymm_k1z_ymm_ymmm256b32 EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpminsd_xmm_xmm_xmmm128 VEX_Vpminsd_ymm_ymm_ymmm256];
    MAX_S: [EVEX_Vpmaxsd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpmaxsd_ymm_k1z_ymm_ymmm256b32 EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpmaxsd_xmm_xmm_xmmm128 VEX_Vpmaxsd_ymm_ymm_ymmm256];
    MIN_U: [EVEX_Vpminud_xmm_k1z_xmm_xmmm128b32 EVEX_Vpminud_ymm_k1z_ymm_ymmm256b32 EVEX_Vpminud_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpminud_xmm_xmm_xmmm128 VEX_Vpminud_ymm_ymm_ymmm256];
    MAX_U: [EVEX_Vpmaxud_xmm_k1z_xmm_xmmm128b32 EVEX_Vpmaxud_ymm_k1z_ymm_ymmm256b32 EVEX_Vpmaxud_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpmaxud_xmm_xmm_xmmm128 VEX_Vpmaxud_ymm_ymm_ymmm256];
    SHIFT_LEFT: [EVEX_Vpsllvd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpsllvd_ymm_k1z_ymm_ymmm256b32
        EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpsllvd_xmm_xmm_xmmm128 VEX_Vpsllvd_ymm_ymm_ymmm256];
    SHIFT_RIGHT_S: [EVEX_Vpsravd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpsravd_ymm_k1z_ymm_ymmm256b32
        EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpsravd_xmm_xmm_xmmm128 VEX_Vpsravd_ymm_ymm_ymmm256];
    SHIFT_RIGHT_U: [EVEX_Vpsrlvd_xmm_k1z_xmm_xmmm128b32 EVEX_Vpsrlvd_ymm_k1z_ymm_ymmm256b32
        EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32]
        [VEX_Vpsrlvd_xmm_xmm_xmmm128 VEX_Vpsrlvd_ymm_ymm_ymmm256];
}

/// Whether the last register of an instruction, but for the one that a blend is told its lanes by, may be memory instead;
/// with AVX-512 also one element for all lanes.
pub fn takes_memory(code: Code) -> bool {
    const TAKE: &[Codes] = &[
        FMA_ADD,
        FMA_MULTIPLY,
        BLEND,
        COMPARE_FLOAT,
        COMPARE_SIGNED,
        COMPARE_UNSIGNED,
        EQUAL,
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
    TAKE.iter().any(|codes| codes.contains(code))
}

/// The type as which lanes are held: bytes are widened when they are loaded.
pub fn held(ty: Type) -> Type {
    match ty.dtype {
        DType::I8 | DType::U8 => Type { dtype: DType::I32, ..ty },
        _ => ty,
    }
}

/// The size of lanes of 32 bits, as which half floats are held.
pub fn size(ty: Type) -> Result<Size> {
    match (ty.dtype, ty.lanes) {
        (DType::F32 | DType::F16, 1) | (DType::F32 | DType::F16 | DType::I32 | DType::U32, 4) => Ok(Size::Xmm),
        (DType::F32 | DType::F16 | DType::I32 | DType::U32, 8) => Ok(Size::Ymm),
        (DType::F32 | DType::F16 | DType::I32 | DType::U32, 16) => Ok(Size::Zmm),
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

/// The mode of vrndscaleps and vroundps: to an integer, and which.
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
