//! Real models with reference outputs, in the folder named by `GRAVEN_TEST_DATA`: `NAME/{model.onnx,inputs.npz,outputs.npz}`.

use crate::data::{Tolerance, compare, read_npz};
use crate::executor::Executor;
use graven::error::Error;
use graven::import::{ImportOptions, Imported, onnx};
use graven_ir::{Module, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The environment variable that names the folder of models.
pub const FOLDER_VARIABLE: &str = "GRAVEN_TEST_DATA";

/// A model with a tolerance for its outputs.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Folder of the model.
    pub name: &'static str,
    /// How far outputs may be from those of the reference.
    pub tolerance: Tolerance,
    /// Whether the plain interpreter evaluates it within seconds.
    pub is_small: bool,
}

const fn model(name: &'static str, is_small: bool) -> Model {
    Model { name, tolerance: Tolerance { relative: 1e-3, absolute: 1e-4 }, is_small }
}

const fn half(name: &'static str, is_small: bool) -> Model {
    Model { name, tolerance: Tolerance { relative: 1e-2, absolute: 1e-2 }, is_small }
}

/// The models that must compile and match.
pub const MODELS: &[Model] = &[
    model("acasxu_4_8", true),
    model("basic_pitch_nmp", false),
    model("blazeface_front", true),
    model("capp_gpt2", true),
    model("deeplab_v3_mnv2", false),
    model("deimv2_atto", false),
    model("dronet_int", true),
    model("espcn_float", true),
    model("fastestdet", false),
    model("fsmn_vad_offline", true),
    model("hand_landmark", false),
    model("infero_cyclone_unet", false),
    model("light_densenet121", false),
    model("light_resnet50", false),
    model("light_squeezenet", false),
    model("magika_standard_v3_3", false),
    model("marabou_mnist_self_attention", true),
    model("micro_kws_fp32", true),
    model("mnist_8", true),
    model("mnist_burn", true),
    model("mujoco_go1_policy", true),
    model("nanotrack_v2_head", true),
    model("niivue_brain_unet3d", false),
    model("op_GridSample_16", true),
    model("op_LayerNormalization3D_17", true),
    model("ort_tiny_bert_squad_tf", true),
    model("ort_tiny_gpt2_past", true),
    model("oww_embedding_model", true),
    model("oww_melspectrogram", true),
    model("ppocr_v3_det", false),
    half("squeezenet_fp16", false),
    model("st_ssd_mobilenet_v1", false),
    model("super_resolution_10", false),
    model("ultraface_rfb_320", false),
    model("vespa_t5_decoder", true),
    model("vespa_t5_encoder", true),
    model("winml_pytorch_image_classifier", true),
    model("yolox_nano", false),
    model("yunet_n_dynamic", false),
];

/// The folder of models, if the environment names one.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from)
}

/// A model with its reference data.
pub struct Case {
    /// The imported model.
    pub module: Module,
    /// Inputs in the order of the signature.
    pub inputs: Vec<Tensor>,
    /// Expected outputs by name.
    pub expected: BTreeMap<String, Tensor>,
}

/// Imports a model for the shapes of its reference inputs.
///
/// # Errors
/// What the importer says, or what is missing.
pub fn load(folder: &Path) -> Result<Case, String> {
    let inputs = read_npz(&folder.join("inputs.npz"))?;
    let expected = read_npz(&folder.join("outputs.npz"))?;
    let options = ImportOptions {
        input_shapes: inputs.iter().map(|(name, tensor)| (name.clone(), tensor.shape().to_vec())).collect(),
        ..ImportOptions::default()
    };
    let imported: Result<Imported, Error> = onnx::import_file(&folder.join("model.onnx"), &options);
    let module = imported.map_err(|error| error.to_string())?.module;
    let main = module.functions.first().ok_or("there is no function")?;
    let ordered: Result<Vec<Tensor>, String> = main
        .inputs
        .iter()
        .map(|name| {
            inputs.get(&**name).cloned().ok_or_else(|| format!("there are no data for the input `{name}`"))
        })
        .collect();
    Ok(Case { inputs: ordered?, module, expected })
}

/// Runs a model and compares all outputs.
///
/// # Errors
/// One sentence: what failed or differs.
pub fn check(case: &Case, tolerance: Tolerance, executor: &dyn Executor) -> Result<(), String> {
    let outputs = executor.run(&case.module, &case.inputs)?;
    let names = case.module.functions.first().map_or(&[][..], |main| main.outputs.as_slice());
    for (name, actual) in names.iter().zip(&outputs) {
        let expected =
            case.expected.get(&**name).ok_or_else(|| format!("there is no expected output `{name}`"))?;
        compare(actual, expected, tolerance).map_err(|reason| format!("output `{name}` {reason}"))?;
    }
    Ok(())
}
