"""What the local DingTalk knows when it starts: one organisation, one app, three people, one form per demo module."""

from opsplatform.simulator.world import App, Component, Template, User

CORP_ID = "ding5a1b2c3d4e5f60718293a4b5c6d7e8f9"
APP_KEY = "dingsimulatorappkey1"
APP_SECRET = "simulator-app-secret-of-no-real-app-0123456789"  # noqa: S105 - opens nothing but the simulator
AGENT_ID = 2024000001
CALLBACK_TOKEN = "simulatorToken16"  # noqa: S105 - as above
CALLBACK_AES_KEY = "simulatorAesKeyWith43LettersAndDigits012345"

APP = App(CORP_ID, APP_KEY, APP_SECRET, AGENT_ID)
DEPARTMENTS = {1: "示例公司", 2: "研发部", 3: "运维部"}


def users() -> list[User]:
    """An approver and two applicants."""
    return [
        User(userid="manager1", name="王经理", unionid="uManager1xiPzA", dept_ids=[1]),
        User(userid="zhangsan", name="张三", unionid="uZhangsan7hQjW", dept_ids=[2]),
        User(userid="lisi", name="李四", unionid="uLisi3kFpTbQ", dept_ids=[3, 2]),
    ]


def templates() -> list[Template]:
    """The forms the two shipped modules are bound to."""
    return [
        Template(
            process_code="PROC-DEMO-SERVER",
            name="申请服务器",
            components=[
                Component(id="TextField-name", label="服务器名称", type="TextField", required=True),
                Component(
                    id="DDSelectField-size",
                    label="规格",
                    type="DDSelectField",
                    required=True,
                    options=["small", "medium", "large"],
                ),
                Component(
                    id="TableField-tags",
                    label="标签",
                    type="TableField",
                    children=[
                        Component(id="TextField-tag-key", label="键", type="TextField", required=True),
                        Component(id="TextField-tag-value", label="值", type="TextField"),
                    ],
                ),
            ],
        ),
        Template(
            process_code="PROC-DEMO-FLEET",
            name="申请一批服务器",
            components=[
                Component(id="TextField-name", label="名称", type="TextField", required=True),
                Component(id="NumberField-count", label="数量", type="NumberField", required=True),
            ],
        ),
    ]
