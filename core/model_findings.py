"""What a model's own tokenizer makes of some texts, before anything is trained: texts that are cut, and texts in a
language that it was not made for."""

from core.cut_texts import cut_texts, sampled_texts, whole_tokenizer
from core.data.findings import Finding
from core.data.table import Table
from core.models.word_fit import MULTILINGUAL, fit_words, word_fit
from core.schema import MappingSpec, ModelSpec


def model_findings(table: Table, mapping: MappingSpec, model: ModelSpec) -> list[Finding]:
    """For an encoder or a head. Raises UserError where the model's tokenizer cannot be had."""
    return [*language_findings(table, mapping, model), *cut_texts(table, mapping, model)]


def language_findings(table: Table, mapping: MappingSpec, model: ModelSpec) -> list[Finding]:
    """A finding where the tokenizer has few of the texts' words whole, and most of English ones."""
    _, texts = sampled_texts(table, mapping)
    fit = word_fit(whole_tokenizer(model), texts)
    if fit is None or fit.fits:
        return []
    return [
        Finding(
            "warning",
            fit_words(fit),
            "model.source",
            f"Choose a model for this language, or a multilingual one: the preset {MULTILINGUAL}.",
            fit.words,
            "other_language",
            "It reads them in pieces that mean little to it, and may then do worse than TF-IDF, which learns its words "
            "from your rows.",
        )
    ]
