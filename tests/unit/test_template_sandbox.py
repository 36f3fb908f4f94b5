"""A model's chat template is a stranger's program: what it may not do ends in a sentence, soon and in little memory."""

import sys

import pytest
from tokenizers import Tokenizer, models

from core.chat_templates import ModelTokenizer, render
from core.errors import UserError

MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]


def rendered(template: str, messages=MESSAGES, **more) -> str:
    tokenizer = ModelTokenizer(Tokenizer(models.BPE()), template, True, {"eos_token": "</s>"}, (), 0)
    return render(tokenizer, messages, **more)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__init__.__globals__ }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ messages.append(1) }}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(100000) %}{{ 'a' * 100000 }}{% endfor %}",
        "{{ 'a' * 10 ** 10 }}",
        "{{ 10 ** 10 ** 8 }}",
        "{{ 'a' | center(10 ** 9) }}",
        "{{ 'a'.ljust(10 ** 9) }}",
        "{{ 'a\\n' | indent(10 ** 9) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{% set ns = namespace(a='ab' * 1000) %}{% for i in range(60) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
        "{% set ns = namespace(a='ab' * 1000) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% set ns = namespace(a='ab' * 99999) %}{% set ns.a = ns.a.replace('a', ns.a) %}{{ ns.a.replace('b', ns.a) }}",
        "{% set a = 'ab' * 99999 %}{{ a | replace('a', a) }}",
        "{% set a %}{{ 'ab' * 999999 }}{% endset %}{% set b %}{{ a }}{{ a }}{{ a }}{{ a }}{{ a }}{% endset %}",
        "{{ range(100000) | map('string') | join('x' * 10000) }}",
        "x" * 500_000,
    ],
)
def test_what_a_template_may_not_do_is_stopped(template):
    with pytest.raises(UserError) as caught:
        rendered(template)
    assert caught.value.where == "model.source"
    assert "was stopped" in caught.value.what


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% if %}", "Expected an expression"),
        ("{{ nothing.x }}", "undefined"),
        ("{{ raise_exception('No system role.') }}", "No system role."),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("{{ messages[7].role.x }}", "no element 7"),
        ("{{ 1 / 0 }}", "division"),
        ("{{ 'a' + 1 }}", "str"),
    ],
)
def test_faults_of_a_template_are_told(template, words):
    with pytest.raises(UserError) as caught:
        rendered(template)
    assert caught.value.where == "prompt.template"
    assert words in caught.value.what


def test_what_templates_do_is_possible():
    long = [{"role": "user", "content": "word " * 50_000}] * 3
    assert len(rendered("{{ messages[0].content + messages[1].content ~ messages[2].content }}", long)) == 750_000
    assert rendered("{% generation %}{{ messages[1].content }}{% endgeneration %}{{ eos_token }}") == "ho</s>"
    assert (
        rendered("{{ messages | tojson }}")
        == '[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]'
    )
    assert rendered("{{ '=' * 20 }}{{ '%s!' % 1 }}{{ '%05.2f' | format(1.5) }}") == "=" * 20 + "1!01.50"
    assert (
        rendered("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% endfor %}")
        == "assistant"
    )
    assert len(rendered("{{ strftime_now('%Y') }}")) == 4
    assert rendered("{% for m in messages %}\n  {% if m.role == 'user' %}\nX\n  {% endif %}\n{% endfor %}") == "X\n"
    assert rendered("{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }}") == "True True False"


def test_a_tracer_that_was_there_is_put_back():
    def tracer(frame, event, argument):
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        rendered("x")
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
