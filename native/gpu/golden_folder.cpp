#include "gpu/golden_folder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace longhaul {
namespace {

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/** The JSON header of safetensors, and where the data after it begins. */
std::pair<Json, uint64_t> safetensors(const std::string& path, const std::string& file) {
  uint64_t length = 0;
  if (file.size() >= 8) std::memcpy(&length, file.data(), 8);
  if (file.size() < 8 || length > file.size() - 8) throw std::runtime_error(path + " is not safetensors");
  return {Json::parse(file.substr(8, length)), 8 + length};
}

uint64_t offset_of(const Json& tensor, int which) { return uint64_t(tensor.at("data_offsets").items.at(size_t(which)).number); }

/** Hugging Face's names for the tensors of a layer; the weight, and where there is one the bias. */
constexpr struct {
  const char *name, *role;
} kOfLayer[] = {
    {"norm.weight", "norm"},
    {"mixer.in_proj.weight", "in_proj"},
    {"mixer.in_proj.bias", "in_proj_bias"},
    {"mixer.conv1d.weight", "conv1d"},
    {"mixer.conv1d.bias", "conv1d_bias"},
    {"mixer.x_proj.weight", "x_proj"},
    {"mixer.dt_proj.weight", "dt_proj"},
    {"mixer.dt_proj.bias", "dt_proj_bias"},
    {"mixer.A_log", "A_log"},
    {"mixer.D", "D"},
    {"mixer.out_proj.weight", "out_proj"},
    {"mixer.out_proj.bias", "out_proj_bias"},
};

}  // namespace

GoldenFolder::GoldenFolder(const std::string& dir) : manifest_(Json::parse(contents(dir + "/manifest.json"))) {
  read_checkpoint(dir);
  const std::string path = dir + "/goldens.safetensors";
  std::string file = contents(path);
  auto [header, begin] = safetensors(path, file);
  header.members.erase("__metadata__");
  header_ = std::move(header.members);
  data_ = file.substr(begin);
}

void GoldenFolder::read_checkpoint(const std::string& dir) {
  const Json raw = Json::parse(contents(dir + "/config.json"));
  ModelConfig& c = checkpoint_.config;
  // Missing keys take the Hugging Face class defaults, as in native/config.ts.
  c.vocab_size = int(raw.number_or("vocab_size", 50280));
  c.n_layer = int(raw.number_or("num_hidden_layers", 32));
  c.d_model = int(raw.number_or("hidden_size", 768));
  c.d_inner = int(raw.number_or("intermediate_size", raw.number_or("expand", 2) * c.d_model));
  c.d_state = int(raw.number_or("state_size", 16));
  c.d_conv = int(raw.number_or("conv_kernel", 4));
  c.dt_rank = int(raw.number_or("time_step_rank", (c.d_model + 15) / 16));
  c.norm_eps = float(raw.number_or("layer_norm_epsilon", 1e-5));
  c.mixer_rms_eps = float(raw.number_or("mixer_rms_eps", 1e-6));
  c.mixer_norms = raw.at("model_type").text == "falcon_mamba";

  struct Stored {
    Json tensor;
    int file;
    uint64_t begin;
  };
  std::map<std::string, Stored> stored;
  for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator(dir))
    if (entry.path().filename().string().rfind("model", 0) == 0 && entry.path().extension() == ".safetensors")
      checkpoint_.files.push_back(entry.path().string());
  std::sort(checkpoint_.files.begin(), checkpoint_.files.end());
  for (size_t file = 0; file < checkpoint_.files.size(); ++file) {
    const auto [header, begin] = safetensors(checkpoint_.files[file], contents(checkpoint_.files[file]));
    for (const auto& [name, tensor] : header.members) stored[name] = {tensor, int(file), begin};
  }
  const auto add = [&](const std::string& name, const char* role, int layer) {
    const auto found = stored.find(name);
    if (found == stored.end()) return;
    const auto& [tensor, file, begin] = found->second;
    TensorSource t{role, layer, Dtype::f32, file, 0, 0, 1, 1, {}};
    const std::string& dtype = tensor.at("dtype").text;
    t.dtype = dtype == "BF16" ? Dtype::bf16 : dtype == "F16" ? Dtype::f16 : Dtype::f32;
    t.offset = begin + offset_of(tensor, 0);
    t.bytes = offset_of(tensor, 1) - offset_of(tensor, 0);
    const std::vector<Json>& shape = tensor.at("shape").items;
    for (size_t i = 0; i < shape.size(); ++i) (i == 0 ? t.rows : t.cols) *= int(shape[i].number);
    checkpoint_.tensors.push_back(std::move(t));
  };
  add("backbone.embeddings.weight", "embeddings", -1);
  add("backbone.norm_f.weight", "norm_f", -1);
  add("lm_head.weight", "lm_head", -1);
  for (int i = 0; i < c.n_layer; ++i)
    for (const auto& [name, role] : kOfLayer) add("backbone.layers." + std::to_string(i) + "." + name, role, i);
}

std::vector<std::string> GoldenFolder::names() const {
  std::vector<std::string> out;
  for (const auto& [name, tensor] : header_) out.push_back(name);
  return out;
}

std::vector<double> GoldenFolder::values(const std::string& name) const {
  const auto found = header_.find(name);
  if (found == header_.end()) throw std::runtime_error("the goldens have no " + name);
  const std::string& dtype = found->second.at("dtype").text;
  const uint64_t from = offset_of(found->second, 0), to = offset_of(found->second, 1);
  const size_t width = dtype == "F64" || dtype == "I64" ? 8 : 4;
  if (to > data_.size() || from > to || (to - from) % width != 0) throw std::runtime_error(name + " lies outside its file");
  std::vector<double> out((to - from) / width);
  const char* const bytes = data_.data() + from;
  const auto fill = [&](auto element) {
    for (size_t i = 0; i < out.size(); ++i) {
      std::memcpy(&element, bytes + i * sizeof element, sizeof element);
      out[i] = double(element);
    }
  };
  if (dtype == "F64")
    fill(double());
  else if (dtype == "F32")
    fill(float());
  else if (dtype == "I64")
    fill(int64_t());
  else
    throw std::runtime_error(name + " has a type that is not read here: " + dtype);
  return out;
}

std::vector<int32_t> GoldenFolder::ids(const std::string& name) const {
  const std::vector<double> found = values(name);
  return {found.begin(), found.end()};
}

std::vector<int> GoldenFolder::shape(const std::string& name) const {
  std::vector<int> out;
  for (const Json& size : header_.at(name).at("shape").items) out.push_back(int(size.number));
  return out;
}

std::vector<double> GoldenFolder::conv_state(const std::string& name) const {
  const std::vector<double> all = values(name + ".conv_state.f64");
  const size_t width = size_t(checkpoint_.config.d_conv);
  std::vector<double> out;
  for (size_t i = 0; i < all.size(); ++i)
    if (i % width != 0) out.push_back(all[i]);
  return out;
}

double GoldenFolder::limit(const std::string& suffix, const char* listed) const {
  double noise = 0, magnitude = 0;
  for (const auto& [name, tensor] : header_) {
    const std::string end = suffix + ".f64";
    const std::string last = suffix == ".logits" ? ".logits_last.f64" : end;
    const auto ends = [&](const std::string& with) { return name.size() > with.size() && name.compare(name.size() - with.size(), with.size(), with) == 0; };
    if (!ends(end) && !ends(last)) continue;
    const std::vector<double> exact = values(name);
    for (const double x : exact) magnitude = std::max(magnitude, std::fabs(x));
    const std::string single = name.substr(0, name.size() - 3) + "f32";
    if (!has(single)) continue;
    const std::vector<double> rounded = values(single);
    for (size_t i = 0; i < exact.size(); ++i) noise = std::max(noise, std::fabs(exact[i] - rounded.at(i)));
  }
  if (listed)
    for (const auto& [sequence, row] : manifest_.at("max_abs_differences").at("f32_vs_f64").members)
      noise = std::max(noise, row.at(listed).number);
  const double ulp = magnitude == 0 ? 0 : std::ldexp(1.0, std::max(int(std::floor(std::log2(magnitude))) - 23, -149));
  return std::max(4 * noise, 4 * ulp);
}

GoldenFolder::Tolerances GoldenFolder::tolerances() const {
  return {limit(".logits", "logits"), limit(".logprobs", nullptr), limit(".conv_state", "conv_state"), limit(".ssm_state", "ssm_state")};
}

std::vector<std::string> golden_folders(const std::string& path) {
  namespace fs = std::filesystem;
  const auto is_golden = [](const fs::path& dir) { return fs::exists(dir / "manifest.json") && fs::exists(dir / "goldens.safetensors"); };
  if (is_golden(path)) return {path};
  std::vector<std::string> out;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error))
    if (entry.is_directory() && is_golden(entry.path())) out.push_back(entry.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace longhaul
