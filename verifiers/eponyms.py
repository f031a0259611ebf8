"""Chinese spellings of the Latin names that diseases, signs and parts are called after: 福克曼挛缩 is Volkmann挛缩.

A spelling that several persons share (亨特: Hunt, Hunter) does not stand here.
"""

import re

_TABLE = """
Volkmann 福克曼 沃克曼 伏克曼
Cushing 库欣 柯兴 库兴
Addison 艾迪生 阿狄森 爱迪生 艾迪森
Graves 格雷夫斯 格瑞夫斯
Hashimoto 桥本
Crohn 克罗恩 克隆氏
Hodgkin 霍奇金 何杰金
Parkinson 帕金森
Alzheimer 阿尔茨海默 阿尔兹海默
Huntington 亨廷顿
Down 唐氏
Turner 特纳
Klinefelter 克兰费尔特 克氏
Marfan 马方 马凡
Guillain-Barré 吉兰-巴雷 格林-巴利 吉兰巴雷 格林巴利
Bell 贝尔
Meniere 梅尼埃 美尼尔
Ménière 梅尼埃 美尼尔
Raynaud 雷诺
Behçet 白塞 贝赫切特
Behcet 白塞 贝赫切特
Kawasaki 川崎
Wilson 威尔逊
Whipple 惠普尔
Barrett 巴雷特 巴瑞特
Mallory-Weiss 马洛里-魏斯 马-魏
Zollinger-Ellison 佐林格-埃利森 卓-艾
Sheehan 希恩 席汉
Conn 康恩 孔恩
Murphy 墨菲
McBurney 麦氏 麦克伯尼
Rovsing 罗夫辛
Colles 柯莱斯 科雷氏 柯雷氏 科利斯
Smith 史密斯
Barton 巴顿
Monteggia 孟氏 蒙泰贾
Galeazzi 盖氏 盖莱阿齐
Dupuytren 迪皮特朗
Perthes 佩特兹
Osgood-Schlatter 奥斯古德-施拉特
Paget 佩吉特 派杰
Ewing 尤文 尤因
Kaposi 卡波西 卡波济
Burkitt 伯基特
Wilms 威尔姆斯 维尔姆斯
Hirschsprung 赫什朋 希尔施普龙
Meckel 梅克尔 麦克尔
Crigler-Najjar 克里格勒-纳贾尔
Gilbert 吉尔伯特
Dubin-Johnson 杜宾-约翰逊
Budd-Chiari 布-加 布加 巴德-基亚里
Boerhaave 布尔哈弗
Plummer-Vinson 普卢默-文森
Peutz-Jeghers 波伊茨-耶格
Gardner 加德纳
Lynch 林奇
Goodpasture 古德帕斯彻
Alport 奥尔波特
Fanconi 范科尼 范可尼
Bartter 巴特 巴特尔
Gitelman 吉特尔曼
Liddle 利德尔
Berger 伯杰
Eisenmenger 艾森曼格 艾森门格
Fallot 法洛
Brugada 布鲁加达
Dressler 德雷斯勒
Takayasu 高安
Buerger 伯格 柏格
Churg-Strauss 丘格-施特劳斯
Wegener 韦格纳
Sjögren 舍格伦 斯耶格伦
Sjogren 舍格伦 斯耶格伦
Reiter 赖特
Still 斯蒂尔
Felty 费尔蒂
Lambert-Eaton 兰伯特-伊顿
Wernicke 韦尼克
Korsakoff 科萨科夫
Tourette 图雷特
Rett 雷特
Asperger 阿斯伯格
Horner 霍纳
Brown-Séquard 布朗-塞卡
Brown-Sequard 布朗-塞卡
Charcot 夏科 沙尔科
Babinski 巴宾斯基
Kernig 克尼格 凯尔尼格
Brudzinski 布鲁津斯基
Hoffmann 霍夫曼
Romberg 龙贝格
Trousseau 特鲁索 陶瑟
Chvostek 沃斯特克
Reynolds 雷诺兹
Courvoisier 库瓦西耶
Trendelenburg 特伦德伦堡
Lachman 拉赫曼
Tinel 蒂内尔 提内尔
Phalen 法伦
Finkelstein 芬克尔斯坦
Koplik 柯氏 科普利克
Pancoast 潘科斯特
Virchow 魏尔啸 菲尔绍
Krukenberg 库肯勃 克鲁肯伯格
Meigs 梅格斯 麦格
Asherman 阿谢曼
Hunner 洪纳
Fournier 富尼埃 福尼尔
Peyronie 佩罗尼
Bowen 鲍恩 鲍文
Stevens-Johnson 史蒂文斯-约翰逊 史-约
Sezary 塞扎里
Leriche 勒里什
Ludwig 路德维希 卢德维
Warthin 沃辛 华新
Stensen 斯滕森
Eustachian 欧氏
Kiesselbach 基塞尔巴赫
Reye 瑞氏 瑞夷 雷耶
West 韦斯特
Lennox-Gastaut 伦诺克斯-加斯托
Edwards 爱德华兹 爱德华
Patau 帕陶
Prader-Willi 普拉德-威利
Angelman 安格曼
Noonan 努南
Ehlers-Danlos 埃勒斯-当洛斯
Gaucher 戈谢 高雪
Niemann-Pick 尼曼-匹克 尼曼匹克
Fabry 法布里 法布雷
Pompe 庞贝 庞普
Tay-Sachs 泰-萨克斯 泰萨克斯
Krabbe 克拉伯
Hurler 胡勒
Lesch-Nyhan 莱施-奈恩 莱施-尼汉
Menkes 门克斯
Duchenne 杜氏 迪谢内 杜兴
Becker 贝克尔
Friedreich 弗里德赖希 弗里德里希
Chagas 恰加斯
Hansen 汉森
Lyme 莱姆
Weil 魏尔
Creutzfeldt-Jakob 克雅 克-雅 克罗伊茨费尔特-雅各布
Pott 波特
Chiari 基亚里
Arnold-Chiari 阿诺德-基亚里
Dandy-Walker 丹迪-沃克
Sturge-Weber 斯特奇-韦伯
Swan-Ganz 斯旺-甘兹
Holter 霍尔特
Heimlich 海姆立克 海姆利希
Valsalva 瓦尔萨尔瓦
Epley 埃普利
Coombs 库姆斯 库姆
Schilling 希林
Mantoux 芒图
Widal 肥达 维达
Weil-Felix 外斐 外-斐
Bethesda 贝塞斯达
Glasgow 格拉斯哥
Apgar 阿普加
Fontan 方坦 丰唐
Blalock-Taussig 布莱洛克-陶西格
Billroth 毕罗 毕氏
Roux-en-Y 鲁氏Y形
Langerhans 朗格汉斯 朗汉斯 郎格罕
Purkinje 浦肯野 浦肯耶
Schwann 施万 雪旺
Golgi 高尔基
Kupffer 库普弗 库否 枯否
Leydig 莱迪希
Sertoli 塞托利
Bowman 鲍曼
Henle 亨氏
Broca 布罗卡 布洛卡
Willis 威利斯
Oddi 奥迪 奥狄
Treitz 特赖茨
Douglas 道格拉斯
"""
_LATIN = {row.split()[0]: tuple(row.split()[1:]) for row in _TABLE.strip().splitlines()}
_NAMED = re.compile(r"(?P<latin>[A-ZÀ-Þ][A-Za-zÀ-ÿ-]{2,20}) ?(?:氏)?(?P<rest>[\u3400-\u9fff]{1,12})")


def in_han(name: str) -> tuple[str, ...]:
    """A name that begins with a person's Latin name and goes on in Chinese, with each Chinese spelling of the person."""
    match = _NAMED.fullmatch(name)
    return tuple(f"{han}{match['rest']}" for han in _LATIN.get(match["latin"], ())) if match else ()
