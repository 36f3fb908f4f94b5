"""RunSpec, the whole description of one training run, and its parts.

A setting is written once, here, with its type, bounds, unit and one sentence of effect. The form (ui/forms.py), the
command line (`--set key=value`), the YAML file and `launch.py settings` are generated from it.
"""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from core.text_template import template_columns

PACKAGED_ENCODER = "packaged:all-MiniLM-L6-v2"


def setting(default: Any, description: str, *, unit: str = "", essential: bool = False, **bounds: Any) -> Any:
    """A field with what a person needs to choose it; `essential` ones are shown first, the rest fold open."""
    return Field(default, description=description, json_schema_extra={"unit": unit, "essential": essential}, **bounds)


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class TableFile(Part):
    """One file and how to read it. A reading option left empty is detected and shown."""

    path: str = Field(
        description="The file: CSV, TSV, Parquet, JSON, JSON Lines, Excel or OpenDocument, each also as .gz, .zst or "
        "in a .zip; or a folder that holds it, or a folder with a folder of text files for each class."
    )
    more: tuple[str, ...] = setting((), "Further files with the same columns; their rows follow those of the first.")
    source_column: str | None = setting(
        None, "A column to add, which says the file that each row comes from, where there are several. Empty: none."
    )
    member: str | None = setting(
        None,
        "Of a zip archive, a folder or a JSON file that holds several tables: the one to read, by its path or name "
        "inside. Empty: the one for training, else the largest.",
    )
    sheet: str | None = setting(None, "Of an Excel or OpenDocument file: the sheet. Empty: the first with cells in it.")
    encoding: str | None = setting(None, "Text encoding, e.g. utf-8, cp1252, big5. Empty: detected.")
    delimiter: str | None = setting(None, "Character between cells. Empty: detected.")
    quote: str | None = setting(None, "Character around cells that hold delimiters. Empty: detected.", max_length=1)
    escape: str | None = setting(None, "Character before a quote inside a quoted cell. Empty: detected.", max_length=1)
    header: bool | None = setting(None, "Whether the first line names the columns. Empty: detected.")
    skip_lines: int | None = setting(
        None, "Lines before the table, which begins with the names of its columns. Empty: detected.", unit="lines", ge=0
    )
    comment: str | None = setting(
        None,
        "Lines that begin with this are no rows. Empty: detected (# where a file begins with it, but of lines with "
        "too few cells for a row alone).",
        max_length=1,
    )
    decimal: Literal[".", ","] | None = setting(
        None, "What stands before the decimals of a number; cells stay the text they are. Empty: detected."
    )
    null_words: tuple[str, ...] = setting((), "Words that stand for an empty cell, e.g. NA. Empty: none.")
    ragged_rows: Literal["mend", "reject"] = setting(
        "mend",
        "Rows with too few or too many cells, or quotes that do not match. mend: they are filled up or put together, "
        "and listed. reject: they are left out, and listed.",
    )

    @model_validator(mode="after")
    def _characters_differ(self) -> Self:
        given = [word for word in (self.delimiter, self.quote, self.comment) if word]
        if any(character in "\r\n\0" for word in (*given, self.escape or "") for character in word):
            raise ValueError("delimiter, quote, escape and comment cannot be line ends or NUL")
        if len(set("".join(given))) < sum(len(set(word)) for word in given) or (self.escape or "\0") in (
            self.delimiter or ""
        ):
            raise ValueError("delimiter, quote and comment cannot have a character in common")
        return self

    column_names: tuple[str, ...] = setting((), "Names for the columns, in order; needed where there is no header.")


def shown_name(file: TableFile) -> str:
    """What is read, for people: `questions.csv`, `reviews.zip: train.csv`, `a.csv and 2 more`."""
    name = (_hub_name(file) or Path(file.path).name) + (f": {file.member}" if file.member else "")
    return f"{name} and {len(file.more)} more" if file.more else name


def short_name(file: TableFile) -> str:
    """What a run is called after: the file's name without its ending, or the name of a data set of the hub."""
    return (_hub_name(file) or Path(file.path).stem).split("/")[-1]


def _hub_name(file: TableFile) -> str:
    """`owner/name` of a file in the hub's cache, where it lies below `datasets--owner--name`; else ''."""
    found = (part for part in Path(file.path).parts if part.startswith("datasets--"))
    return next(found, "").removeprefix("datasets--").replace("--", "/")


class CleaningSpec(Part):
    """Rows of the training file that are left out; files of their own for validation and test stay as they are."""

    copies: Literal["keep", "drop"] = setting(
        "keep", "drop: of rows with the same text and the same label only the first counts."
    )
    conflicting_labels: Literal["keep", "drop"] = setting(
        "keep", "drop: rows whose text stands elsewhere with another label are left out, all of them."
    )
    leaked_rows: Literal["keep", "drop", "drop_similar"] = setting(
        "keep",
        "drop: rows of train whose text stands in the validation or test file too are left out of train. "
        "drop_similar: also those whose text is nearly the same.",
    )
    shorter_than: int = setting(
        0, "Rows whose text has fewer characters than this are left out. 0: none.", unit="characters", ge=0, le=10_000
    )
    other_scripts: Literal["keep", "drop"] = setting(
        "keep", "drop: rows written in another script than nearly all others are left out."
    )


class DataSpec(Part):
    train: TableFile
    validation: TableFile | None = setting(None, "A file of its own for validation. Empty: a share of train.")
    test: TableFile | None = setting(None, "A file of its own for the final test. Empty: a share of train.")
    cleaning: CleaningSpec = CleaningSpec()


def data_files(data: DataSpec) -> list[str]:
    """The paths of all files of a run's data."""
    tables = [table for table in (data.train, data.validation, data.test) if table is not None]
    return [path for table in tables for path in (table.path, *table.more)]


def _texts(given: Any) -> Any:
    """Numbers among the words of a list become words: YAML takes a class called 1 for a number."""
    if not isinstance(given, list | tuple):
        return given
    return [str(word) if isinstance(word, int | float) else word for word in given]


class ChatColumns(Part):
    """Where a table keeps its conversations: one column that holds them, or one for each side."""

    conversation: str | None = setting(
        None, 'A column of JSON lists of messages: {"role", "content"}, or {"from", "value"}.'
    )
    instruction: str | None = setting(None, "The column of what is asked, where each side has a column of its own.")
    input: str | None = setting(None, "A column of what the instruction is about; may be empty in any row.")
    response: str | None = setting(None, "The column of what is answered.")
    system: str | None = setting(None, "A column of what the model is told to be.")
    tools: str | None = setting(None, "A column of JSON lists of tool descriptions.")


Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""auto: what the device multiplies itself."""
LabelKind = Literal["single", "multi", "soft", "none"]


class MappingSpec(Part):
    """Which columns are text, which is the label, and what kind of label."""

    text: tuple[str, ...] = setting((), "Text columns, joined in this order; any may be empty, not all.")
    label: str = setting("", "The column that holds the class, or the classes, of each row.")
    kind: LabelKind = setting(
        "single",
        "What kind of label. single: exactly one class a row. multi: any number of classes a row. soft: a probability "
        "for each class. none: no label, conversations to learn from.",
    )
    label_columns: tuple[str, ...] = setting(
        (),
        "In place of one label column, a column for each class: 1 or 0 in it (multi), or the class's probability "
        "(soft). Their names are the label values.",
    )
    label_separator: str = setting(
        ";", "With multi and one label column: what stands between the classes of a cell.", min_length=1, max_length=5
    )
    rare_below: int = setting(
        0, "Classes with fewer rows than this in the train file are rare. 0: none is.", unit="rows", ge=0, le=1_000_000
    )
    rare_classes: Literal["merge", "drop"] = setting(
        "merge", "merge: rare classes become one, called Other. drop: their rows lose them, and go where none is left."
    )
    chat: ChatColumns = ChatColumns()
    joiner: str = setting(" ", "What stands between joined text columns.")
    text_template: str = setting(
        "",
        "How the text columns become one text, e.g. Title: {title} and a line for {body}. {NAME}: the cell of that "
        "column; double braces are braces. Empty: joined with joiner.",
        max_length=5000,
    )
    backslash_is_space: bool = setting(
        False, "Turn backslashes into spaces, as in the AG News files, where one stands for a line break."
    )
    class_names: dict[str, str] = setting(
        {}, "Names to show in place of label values, e.g. 1: World. Values given one name are one class."
    )
    fold_label_variants: bool = setting(
        False,
        "Labels that differ only in case, white space, characters that look alike or are invisible, or the .0 of a "
        "whole number are one class; its commonest spelling is kept.",
    )
    dropped_classes: tuple[str, ...] = setting(
        (), "Classes to leave out, by name: their rows lose them, and go where none is left."
    )

    @field_validator("text", "label_columns", "dropped_classes", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else _texts(given)

    @field_validator("class_names", mode="before")
    @classmethod
    def _names_are_texts(cls, given: Any) -> Any:
        return (
            dict(zip(_texts(list(given)), _texts(list(given.values())), strict=True))
            if isinstance(given, dict)
            else given
        )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        chat = self.chat
        if not all(name.strip() for name in self.class_names.values()):
            raise ValueError("a class has an empty name: leave its value out, and it keeps it")
        if self.kind == "single" and not (self.text and self.label):
            raise ValueError("name the text columns and the label column")
        if self.kind == "multi" and not (self.text and (self.label or len(self.label_columns) > 1)):
            raise ValueError("name the text columns, and the label column or the columns of the classes")
        if self.kind == "soft" and not (self.text and len(self.label_columns) > 1):
            raise ValueError("name the text columns and the columns of the classes' probabilities")
        if self.kind == "none" and not (chat.conversation or (chat.instruction and chat.response)):
            raise ValueError("name the column of conversations, or those of instruction and response")
        if self.text_template:
            self._check_template(template_columns(self.text_template))
        return self

    def _check_template(self, named: tuple[str, ...]) -> None:
        """The template and the text columns say the same: a file lacks neither or both."""
        absent = [name for name in named if name not in self.text]
        unused = [name for name in self.text if name not in named]
        if absent:
            columns = ", ".join(self.text)
            raise ValueError(f"the text template names {{{absent[0]}}}, which is no text column (these are: {columns})")
        if unused:
            raise ValueError(f"the text template has no place for {unused[0]}; write {{{unused[0]}}} into it")


class SplitSpec(Part):
    by: Literal["chance", "group", "time", "column"] = setting(
        "chance",
        "How rows come to parts. chance: drawn. group: rows with the same value in `column` stay together. time: the "
        "oldest train, the newest test. column: `column` names the part: train, validation or test.",
    )
    column: str = setting("", "The column of groups, of times, or of the names of parts; of no effect by chance.")
    validation: float = setting(
        0.1, "Share of train kept for choosing the best checkpoint, where no file is given.", unit="share", gt=0, lt=0.5
    )
    test: float = setting(
        0.1, "Share of train kept for the final test, where no file is given.", unit="share", gt=0, lt=0.5
    )
    validation_rows: int | None = setting(
        None, "Rows for validation, in place of a share. Empty: the share.", unit="rows", ge=1
    )
    test_rows: int | None = setting(
        None, "Rows for the final test, in place of a share. Empty: the share.", unit="rows", ge=1
    )
    stratified: bool = setting(True, "Keep each class's share the same in every part.")
    folds: int = setting(
        0,
        "Cross-validation: every row is tested once, by a model that has not seen it, in so many trainings. The model "
        "of the first is kept. 0: none.",
        unit="trainings", ge=0, le=20,
    )  # fmt: skip
    seed: int = setting(42, "Number that decides which rows go where; same seed, same split.", ge=0, le=2**31 - 1)
    same_as: str = setting(
        "", "A run whose rows are taken part for part, where data, mapping and split settings are those of that run."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.by != "chance" and not self.column:
            raise ValueError(f"name the column to divide by {self.by} with split.column")
        if self.folds == 1:
            raise ValueError("folds: 2 or more are needed, or 0 for none")
        return self


class LoraSpec(Part):
    rank: int = setting(16, "Size of the adapter: higher learns more and takes more memory.", ge=1, le=1024)
    alpha: int = setting(32, "Strength of the adapter; usually twice the rank.", ge=1, le=4096)
    dropout: float = setting(0.1, "Share of adapter inputs dropped in training.", unit="share", ge=0, lt=1)
    target_modules: tuple[str, ...] = setting(
        (), "Names of the linear layers that get an adapter. Empty: all linear layers of the body."
    )
    train_embeddings: bool = setting(
        False,
        "With lora and qlora of a language model: also train its token embeddings and output layer, whole, for words "
        "that it does not know. They are saved with the adapter and take many times its memory.",
    )


MOST_PROMPT_CHARACTERS = 50_000


class PromptSpec(Part):
    """What a language model reads for a row and what it is to answer; of no effect for encoders and heads."""

    template: Literal["chat", "raw"] = setting(
        "chat",
        "chat: system, user and assistant parts in the model's own chat template. raw: the user part as it stands, "
        "then the assistant part.",
        essential=True,
    )
    system: str = setting(
        "",
        "What the model is told to be, before the first message. Empty: nothing. With raw it stands where the user "
        "part says {system}.",
        essential=True,
        max_length=MOST_PROMPT_CHARACTERS,
    )
    user: str = setting(
        "Classify the text into one of these classes: {labels}.\n\nText: {text}",
        "The question about a row. {text}: its text. {labels}: all classes. {NAME}: any column but the label. A name "
        "in double braces stays as it is.",
        essential=True,
        min_length=1,
        max_length=MOST_PROMPT_CHARACTERS,
    )
    assistant: str = setting(
        "{label}",
        "The answer to learn, with {label} in it. Nothing but fixed words may stand around it.",
        essential=True,
        min_length=1,
        max_length=2000,
    )
    labels_separator: str = setting(", ", "What stands between the classes in {labels}.", max_length=20)


Family = Literal["encoder", "causal"]
Method = Literal["full", "freeze", "head", "lora", "qlora", "head-on-llm"]
FAMILY_METHODS: dict[Family, tuple[Method, ...]] = {
    "encoder": ("full", "freeze", "head", "lora"),
    "causal": ("qlora", "lora", "full", "head-on-llm"),
}


ADAPTER_METHODS: tuple[Method, ...] = ("lora", "qlora", "head-on-llm")
FOUR_BIT_METHODS: tuple[Method, ...] = ("qlora", "head-on-llm")


Head = Literal["model", "linear", "two-layer"]
Pooling = Literal["first", "mean", "both"]


class ModelSpec(Part):
    family: Family = setting(
        "encoder",
        "encoder: BERT-like, a new head gives the class. causal: a language model such as Llama or Mistral, which "
        "answers in words or gets a head.",
    )
    source: str = setting(
        PACKAGED_ENCODER,
        "The pretrained model: a hub id (google-bert/bert-base-uncased), a local folder, or the packaged encoder "
        f"({PACKAGED_ENCODER}).",
        essential=True,
        min_length=1,
    )
    revision: str | None = setting(None, "Hub branch, tag or commit. Empty: the newest.")
    method: Method = setting(
        "full",
        "What is trained. full: every layer. freeze: the upper layers and the head. head: the head alone. "
        "lora: small adapters beside frozen layers. qlora: the same beside layers kept in 4 bits. head-on-llm: qlora, "
        "and a new head in place of answers in words.",
        essential=True,
    )
    double_quantization: bool = setting(
        True, "With 4 bits: keep the scales in 8 bits too. Saves about 0.4 bits a weight (QLoRA, arXiv 2305.14314)."
    )
    embeddings_on_cpu: bool = setting(
        False,
        "Keep token embeddings that are not trained in main memory, and send the GPU those of each batch alone: saves "
        "their size there, and a step takes a little longer. No gain where they are the output layer too (Llama 3.2).",
    )
    frozen_layers: int = setting(
        0,
        "With method freeze: embeddings and this many lower layers stay as they are. More is faster and learns less.",
        unit="layers",
        essential=True,
        ge=0,
        le=1000,
    )
    choose_frozen_layers: bool = setting(
        False,
        "With method freeze: choose frozen_layers by the rows and the model's layers. The fewer rows, the more layers "
        "stay as they are.",
    )
    lora: LoraSpec = LoraSpec()
    max_length: int = setting(
        256,
        "Longest text in tokens; the rest is cut. Longer reads more, and costs more time and memory.",
        unit="tokens",
        essential=True,
        ge=8,
        le=131072,
    )
    classifier_dropout: float = setting(
        0.1, "Share of the head's inputs dropped in training.", unit="share", ge=0, lt=1
    )
    attention_dropout: float = setting(
        0.0,
        "Share of an encoder's attention weights dropped in training. At 0 attention is computed in one piece, without "
        "a table of all pairs of tokens: less time and memory, most at long texts.",
        unit="share", ge=0, lt=1,
    )  # fmt: skip
    head: Head = setting(
        "model",
        "What turns a text's states into classes. model: the head that transformers gives this architecture; linear: "
        "one layer; two-layer: a layer of head_size, ReLU, and one layer.",
    )
    head_size: int = setting(256, "Width of the two-layer head.", unit="units", ge=1, le=65536)
    pooling: Pooling = setting(
        "first",
        "What a linear or two-layer head reads. first: the state of the first token; mean: the mean over all tokens; "
        "both: one after the other.",
    )


LossName = Literal["auto", "cross_entropy", "focal", "bce", "kl"]
LABEL_LOSSES: dict[LabelKind, tuple[LossName, ...]] = {
    "single": ("cross_entropy", "focal"),
    "multi": ("bce", "focal"),
    "soft": ("cross_entropy", "kl"),
    "none": ("cross_entropy",),
}
"""The losses that a kind of label can be learned with; `auto` is the first."""
BestMetric = Literal["macro_f1", "micro_f1", "accuracy", "weighted_f1", "loss"]
Schedule = Literal["linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt"]


class TrainingSpec(Part):
    epochs: float | None = setting(
        None,
        "Passes over the training rows. Too many on few rows learns them by heart. Empty: chosen by the rows and "
        "classes, from 20 for few hundred rows to 2 for many thousands.",
        unit="epochs", essential=True, gt=0, le=10000,
    )  # fmt: skip
    learning_rate: float = setting(
        1e-4, "Size of each step. Too high forgets what the model knew, too low learns nothing.", essential=True,
        gt=0, le=1,
    )  # fmt: skip
    batch_size: int = setting(
        32, "Rows a step on the device. Larger is steadier and takes more memory.", unit="rows", essential=True,
        ge=1, le=65536,
    )  # fmt: skip
    batch_tokens: int | None = setting(
        None,
        "Most tokens in a batch, padding counted: texts of like length make up about so many, batch_size rows at most. "
        "Long texts then take no more memory than short ones. Empty: batch_size alone decides.",
        unit="tokens", ge=8, le=10_000_000,
    )  # fmt: skip
    best_metric: BestMetric = setting(
        "macro_f1", "The validation figure that decides which checkpoint is kept.", essential=True
    )
    best_tolerance: float = setting(
        1.0,
        "A later checkpoint is kept in place of the best one while its figure is at most so much worse: with few "
        "validation rows the best is best by chance. 0: the best one. Of the loss, of several classes a row and with "
        "early stopping always the best one.",
        unit="standard errors", ge=0, le=10,
    )  # fmt: skip
    max_steps: int | None = setting(None, "Stop after this many steps, whatever the epochs.", unit="steps", ge=1)
    head_learning_rate_factor: float = setting(
        10, "The new head learns this many times faster than the body.", unit="times", gt=0, le=1000
    )
    gradient_accumulation: int = setting(
        1, "Batches added up before a step: a larger effective batch for no more memory.", unit="batches", ge=1, le=4096
    )
    evaluation_batch_size: int = setting(64, "Rows at once in evaluation.", unit="rows", ge=1, le=65536)
    weight_decay: float = setting(0.01, "Pull of the weights towards zero.", ge=0, le=1)
    warmup: float = setting(
        0.1, "Share of the steps in which the learning rate climbs to its full size.", unit="share", ge=0, lt=1
    )
    schedule: Schedule = setting("linear", "How the learning rate falls after the warmup.")
    max_grad_norm: float = setting(1.0, "Longest gradient let through; longer ones are scaled down.", gt=0, le=1e6)
    label_smoothing: float = setting(
        0.1, "Share of certainty spread over the other classes, where a row may have several towards how common each "
        "is; makes a model less sure of itself.", unit="share", ge=0, lt=1,
    )  # fmt: skip
    loss: LossName = setting(
        "auto",
        "auto: cross-entropy, or bce where a row may have several classes. focal: rows that are already right count "
        "for less (arXiv 1708.02002). kl: divergence from the probabilities of soft labels.",
    )
    focal_gamma: float = setting(2.0, "With focal: how much less. 0 is cross-entropy.", ge=0, le=10)
    contrastive_alpha: float = setting(
        0.0,
        "Weight of a supervised contrastive term, which draws texts of one class together (arXiv 2004.11362). 0: none.",
        ge=0, le=100,
    )  # fmt: skip
    contrastive_temperature: float = setting(
        0.07, "Of the contrastive term: lower looks more at the nearest texts.", gt=0, le=10
    )
    layer_decay: float = setting(
        1.0,
        "Each layer learns this many times as fast as the one above it; below 1 the lower layers change less.",
        unit="times", gt=0, le=1,
    )  # fmt: skip
    gradual_unfreezing: bool = setting(
        False,
        "Begin with the head alone; with each epoch one more layer learns, from the top (arXiv 1801.06146).",
    )
    class_weights: Literal["none", "balanced"] = setting(
        "none", "balanced: rows of rare classes count for more, in inverse proportion to their number."
    )
    evaluate_every_steps: int | None = setting(
        None, "Evaluate and save every so many steps. Empty: after each epoch.", unit="steps", ge=1
    )
    early_stopping_patience: int = setting(
        0, "Stop after this many evaluations without a better one. 0: never.", unit="evaluations", ge=0, le=1000
    )
    early_stopping_threshold: float = setting(0.0, "How much better counts as better.", ge=0, le=1)
    keep_checkpoints: int = setting(
        2, "Checkpoints kept on disk beside the best one.", unit="checkpoints", ge=1, le=100
    )
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"] = setting(
        "adamw",
        "AdamW; 8bit keeps its two averages in a quarter of the memory, paged moves them to main memory when the GPU "
        "is full. Without a CUDA GPU always adamw.",
    )
    precision: Precision = setting(
        "auto",
        "Number format of the arithmetic. auto: bfloat16 or float16 where the GPU multiplies it, bfloat16 where the "
        "processor does and the model is an encoder, else float32.",
    )
    gradient_checkpointing: bool = setting(False, "Recompute instead of keeping: much less memory, about 30 % slower.")
    offload_checkpoints: bool = setting(
        False,
        "With gradient checkpointing on a GPU: what is still kept of each layer, its input, waits in main memory. "
        "Saves rows x tokens x width x layers numbers there, and a step takes a little longer.",
    )
    shorten_to_fit: bool = setting(
        False,
        "Where memory does not suffice even for one row with gradient checkpointing: cut texts at half the length and "
        "begin again, down to 64 tokens. Off: the run ends and says so.",
    )
    group_by_length: bool = setting(True, "Batches of texts of like length, so that less is spent on padding.")
    seed: int = setting(42, "Number behind every random choice in training.", ge=0, le=2**31 - 1)
    prefix_cache: Literal["auto", "off", "memory", "disk"] = setting(
        "auto",
        "Compute what frozen lower layers say of each text once and keep it. auto: where it pays, in memory where it "
        "fits, else on disk.",
    )
    cache_format: Literal["float16", "bfloat16", "float32"] = setting(
        "float16", "Number format of the kept states. float32 is exact and twice as large."
    )
    cache_disk_limit: float = setting(20.0, "Most that the kept states may take on disk.", unit="GB", gt=0, le=10_000)
    trackers: tuple[Literal["wandb", "trackio"], ...] = setting(
        (), "Also send the curves to these. TensorBoard files are always written. Nothing ever waits for a key."
    )


class EvaluationSpec(Part):
    baselines: bool = setting(
        True,
        "Also measure guessing the commonest class, TF-IDF with logistic regression, and nearest neighbours on an "
        "encoder as it was before training.",
    )
    untuned: bool = setting(True, "Measure a language model on the test part before it is trained, too.")
    generated_rows: int = setting(
        100,
        "Test rows that a language model also answers freely, to see how often that is a class at all. 0: none.",
        unit="rows",
        ge=0,
        le=100_000,
    )


Task = Literal["classify", "answer", "chat"]
"""classify: a head gives the class. answer: the class in words. chat: conversations, no classes."""


class RunSpec(Part):
    name: str = setting("", "What to call the run. Empty: preset and file name.", max_length=200)
    preset: str = setting("quickstart-minilm", "The preset that the settings started from.")
    data: DataSpec
    mapping: MappingSpec
    split: SplitSpec = SplitSpec()
    model: ModelSpec = ModelSpec()
    prompt: PromptSpec = PromptSpec()
    training: TrainingSpec = TrainingSpec()
    evaluation: EvaluationSpec = EvaluationSpec()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        methods = FAMILY_METHODS[self.model.family]
        if self.model.method not in methods:
            kind = "an encoder" if self.model.family == "encoder" else "a language model"
            raise ValueError(f"method {self.model.method} is not for {kind}; choose one of {', '.join(methods)}")
        if self.mapping.kind == "none" and (self.model.family == "encoder" or self.model.method == "head-on-llm"):
            raise ValueError("conversations without a label can only be learned by a language model that answers")
        losses = LABEL_LOSSES[self.mapping.kind]
        if self.training.loss not in ("auto", *losses):
            raise ValueError(
                f"loss {self.training.loss} is not for labels of kind {self.mapping.kind}; choose one of "
                f"auto, {', '.join(losses)}"
            )
        if self.training.contrastive_alpha and self.model.family != "encoder":
            raise ValueError("only encoders take the contrastive term; set training.contrastive_alpha to 0")
        if self.model.head != "model" and self.model.family != "encoder":
            raise ValueError("only encoders take a linear or two-layer head; set model.head to model")
        if self.mapping.kind in ("multi", "soft") and self.task != "classify":
            raise ValueError(
                f"labels of kind {self.mapping.kind} need a head: choose an encoder, or method head-on-llm"
            )
        return self

    @property
    def task(self) -> "Task":
        return task_of(self.mapping.kind, self.model.family, self.model.method)


def task_of(kind: str, family: Family, method: Method) -> Task:
    """What a model of this family and method is trained to do with labels of this kind."""
    if kind == "none":
        return "chat"
    return "answer" if family == "causal" and method != "head-on-llm" else "classify"
