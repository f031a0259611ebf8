"""Words of advice that name no drug: what is eaten, drunk, measured, done, dosed and timed. House lists.

A word that stands beside a dose or a frequency and is neither here nor a disease, finding, test or procedure of the
vocabulary is taken for an unknown drug (`unlisted`), so a word that is missing here costs a false alarm and no danger.
"""

# What may stand between a drug and its dose: forms, salts, routes, times, and words of dosing.
GLUE = frozenset(
    """
    a an the of at to by in on per each every up as is are was be from for or and with your his her their this that
    about approximately around roughly approx nearly exactly only just maybe dose doses dosed dosage dosing strength
    amount regimen course total max maximum minimum initial initially loading starting start maintenance low high
    higher lower standard usual typical full single daily once twice thrice tablet tablets tab tabs pill pills
    capsule capsules cap caps caplet caplets powder powders drop drops syrup solution suspension injection
    injections infusion cream ointment gel patch patches spray inhaler nebulizer nebuliser puff puffs suppository
    suppositories lozenge lozenges sachet sachets ampoule ampoules vial vials bolus extract tincture tea liquid
    teaspoon teaspoons tablespoon tablespoons tsp tbsp spoon spoons oral orally po iv im sc sq sl pr intravenous
    intravenously intramuscular intramuscularly subcutaneous subcutaneously sublingual sublingually topical
    topically rectal rectally vaginal vaginally nasal nasally inhaled transdermal mouth vein muscle bd bid tid tds
    qid qds od qd qhs qam qpm hs ac pc prn stat nocte mane eod qod er xr sr cr la xl dr mr ir ec extended release
    immediate delayed modified sustained controlled slow enteric coated hydrochloride hcl sulfate sulphate succinate
    tartrate maleate besylate mesylate acetate citrate phosphate sodium potassium calcium magnesium fumarate bromide
    hydrobromide nitrate furoate propionate dipropionate valerate gluconate lactate carbonate bicarbonate chloride
    trihydrate monohydrate dihydrate anhydrous acid base mg mcg ug ml g kg gram grams milligram milligrams microgram
    micrograms iu unit units mmol fingertip milliliters millilitres half one two three four five six seven eight
    nine ten twelve fifteen twenty thirty forty fifty hundred thousand time times hour hours hourly day days week
    weeks month months weekly monthly nightly night morning evening
    """.split()
)

# Everything else: verbs and measures of care, food, people, places, body, ordinary nouns and adjectives.
ORDINARY = frozenset(
    """
    take takes taken taking took use uses used using give gives given giving start starts started begin begins began
    continue continues prescribe prescribed administer recommend suggest advise consider try tries add adds put
    swallow drink drinks eat eats inject apply increase decrease reduce raise titrate taper adjust double halve
    repeat switch change stop avoid keep hold get gets go goes come do does did done make makes let help helps need
    needs want wants have has had having can could may might must shall should will would cannot not never no nor
    nothing none i we you he she it they me us him them who whom whose which what when where why how whether if
    unless until while i'd i'll i'm i've you're you'll we'd we'll it's don't let's my our its these those here there
    then than thus so also again always often sometimes usually still even ever already yet too very more most less
    least much many few several some any all both either neither other another same such own enough little lot
    plenty extra further next last first second third fourth final new old good better best bad worse worst well ill
    sick fine right wrong left because since although though however therefore instead rather otherwise except
    without within after before during over under above below between through across along against into onto out off
    down near behind beside beyond upon via plus minus like unlike as just only perhaps please yes okay sure soon
    later now today tomorrow tonight yesterday early late long short big small large great heavy light mild moderate
    severe strong weak deep quick fast slow slowly quickly gently hard soft hot cold warm cool wet dry clean dirty
    fresh raw cooked whole plain safe unsafe possible impossible likely unlikely able unable available necessary
    important common rare normal abnormal acute chronic adult adults child children kid kids baby babies infant
    infants newborn person people patient patients man men woman women boy girl mother father parent parents family
    friend friends partner husband wife nurse doctor physician pharmacist specialist surgeon dentist therapist
    everyone somebody someone nobody anyone hospital clinic ward home house bed bath room school work office
    pharmacy place emergency ambulance department drug drugs medicine medicines medication medications remedy
    remedies treatment treatments therapy therapies antidote product products supplement supplements vitamins
    vitamin prescription label placebo course option options choice choices plan step steps advice care support rest
    sleep nap relax exercise exercises walk walks run runs jog swim cycle yoga stretch stretches squat squats
    push-ups plank stairs sport sports activity activities physiotherapy breath breaths breathe deep-breathing
    meditation mindfulness counselling counseling massage meal meals breakfast lunch dinner supper snack snacks food
    foods diet diets fruit fruits vegetable vegetables veg bread rice pasta noodles oats oatmeal cereal bran grain
    grains bean beans lentils nuts seeds egg eggs meat beef pork chicken fish salmon milk yogurt yoghurt cheese
    butter oil olive honey sugar sugars salt glucose carbs carbohydrate carbohydrates carb protein proteins fat fats
    fibre fiber sodium alcohol wine beer spirits coffee tea juice juices broth soup soups water fluid fluids saline
    electrolyte electrolytes beverage beverages ice air oxygen prunes prune apple apples banana bananas orange
    berries kiwi tomato potato potatoes spinach broccoli garlic ginger calorie calories kcal portion portions
    serving servings glass glasses cup cups bottle bottles bowl plate litre litres liter liters pound pounds inch
    inches feet foot metre metres meter meters mile miles minute minutes seconds min mins hr hrs wk wks yr yrs year
    years ml dl mmhg bpm percent centimetre centimetres cm mm blood pressure heart rate pulse temperature weight
    height length waist body skin hair eye eyes ear ears nose mouth throat tongue tooth teeth gum gums neck head
    face chest breast breasts back belly stomach abdomen arm arms hand hands finger fingers leg legs knee knees hip
    hips ankle ankles toe toes wrist elbow shoulder muscle bone joint vein lung lungs liver kidney kidneys brain
    bladder bowel bowels urine stool stools sputum sweat tears saliva wound wounds ulcer scar rash bruise bite burn
    cut blister area areas side sides site sites spot spots surface pain ache aches fever cough flu nausea vomiting
    diarrhea diarrhoea constipation symptom symptoms sign signs infection disease illness condition problem problems
    attack allergy risk danger harm benefit effect effects cause test tests check checks measure measures
    measurement measurements record records reading readings level levels score scores count counts result results
    scan scans x-ray ultrasound ecg mri ct value values range target goal limit limits monitor watch note see look
    feel hear wash rinse brush floss gargle bathe soak shower showers compress compresses pack packs bandage
    bandages dressing dressings plaster gauze splint cast brace sling pillow bed-rest shoes socks stockings glove
    gloves mask sunscreen soap shampoo moisturiser moisturizer emollient emollients lotion toothbrush toothpaste
    mouthwash heat steam heating pad pads towel cloth needle needles cannula syringe syringes catheter tube gauge
    pump device visit visits appointment call calls phone return report contact follow review session sessions
    surgery operation procedure transfusion packed red cells platelets plasma dialysis chemotherapy radiotherapy
    vaccine vaccines shot sit stand lie move lift carry bend turn climb lean drive travel bring leave stay wait ask
    tell talk speak say said know think believe expect hope understand remember forget mean means show find found
    learn read write set gain lose loss lost grow fall rise drop hit miss pass cover open close press rub tap shake
    mix stir split divide divided chew crush dissolve sip steady regular regularly routine gentle brisk aerobic
    active balanced healthy healthier mediterranean nutritious low-fat low-salt low-sodium high-fibre high-fiber
    vigorous cardio strength resistance moderate-intensity thing things kind kinds type types form forms part parts
    piece pieces pair number numbers figure question answer answers case cases example reason way ways point points
    end matter fact idea word words line list life living world age gestation gestational trimester pregnancy birth
    period menstrual season winter summer spring weekday weekend monday tuesday wednesday thursday friday saturday
    sunday january february march april june july august september october november december noon midnight bedtime
    afternoon morning mornings evenings nights half-hour weekdays recommended suggested advised required indicated
    stated needed allowed tolerated according indication indications treat treats treated prevent prevents control
    controls manage improve improves relieve relieves ease eases lower lowers brings protect protects replace
    replaces consume consumes excrete shorten promote undercut translate equate require requires seem seems occur
    occurs present push prepare underwent felt cries cry born together lowest highest closer afterwards past
    different average individual equivalent survival surplus basis bit brunt flea feces faeces scheme subject
    subjects occasional over-the-counter non-steroidal amino were dosages creatinine triglyceride wake wakes happen
    happens order orders begun been route significant contain contains weigh weighs task tasks consists party
    cumulative turbid demonstrate demonstrates notice notices complicate complicates manufacturer yourself himself
    herself themselves myself antenatal postnatal transfuse insert deltoid smoke smoking cigarette cigarettes
    tobacco sex condom condoms screen screens caffeine sunlight sunshine sun outdoors spirometer diary journal
    meditate photograph photographs photo photos picture pictures video vinegar sample samples recover recovers swab
    swabs specimen specimens biopsy history histories turns charge thermometer scale scales glucometer machine cpap
    app clock alarm calendar chart paper book card planner crutches crutch cane walker wheelchair boots boot collar
    insoles heel heels belt wrap wraps tape bag bags blanket blankets cushion mattress chair table floor wall window
    door garden gardening housework chores job shift shifts class classes lesson lessons club group groups program
    programme programs programmes rehab rehabilitation training coaching practice drill game games music dance
    dancing tai chi pilates treadmill bicycle bike pool lake beach trip trips flight flights car bus train turkey
    lamb ham bacon sausage tuna sardines shrimp tofu soy hummus chickpeas peas corn carrot carrots onion onions
    cabbage lettuce kale celery cucumber pepper peppers mushroom pumpkin berry grape grapes melon mango pear peach
    plum plums figs dates raisins almonds walnuts peanuts cashews flaxseed chia cracker crackers toast biscuit
    biscuits cake cakes chocolate candy sweets dessert desserts pizza burger burgers fries chips soda sodas cola
    lemonade smoothie smoothies shakes yolk cream custard jelly porridge muesli granola wholegrain whole-wheat wheat
    barley quinoa starch stew salad salads sauce spice spices chili formula feed feeds breastmilk colostrum puree
    purees upright seated flat sideways overnight outside inside indoors alone aloud calmly straight forward
    backward comfortable loose tight thick thin narrow wide round sharp blunt tender swollen blue green yellow white
    black brown dark bright visible invisible mirror sock underwear clothing clothes shirt hat scarf jacket linen
    sheet sheets detergent pelvic core calf calves thigh thighs hamstring quadriceps arch sole scalp lip lips cheek
    jaw chin forehead eyelid eyelids nail nails palm palms thumb groin armpit armpits buttock buttocks genital
    genitals penis vagina anus rectum inhale exhale sneeze yawn sips bites snore peak trough median ratio rates
    frequency interval intervals duration whereas meanwhile thereafter afterward beforehand hence action actions
    effort efforts goals habit habits routines schedule schedules reminder reminders precaution precautions break
    breaks pause pauses rests away aside apart interest responsibility shape root account notes courage comfort
    pride longer shorter larger smaller greater fewer heavier lighter faster slower earlier sooner bone-density
    colonoscopy mammogram mammograms endoscopy smear smears screening restrict ventilate inspect stoma crystalloid
    crystalloids colloid umbrella elevate perform practise notify inform attend maintain ensure encourage assess
    examine palpate auscultate intubate irrigate debride drain suture
    """.split()
)

# Endings of English words that are no drug names: "breathing", "slowly", "injection", "illness".
ORDINARY_END = (
    r"(?:ing|ly|ness|ment|tions?|sions?|ity|ities|ous|ful|less|ship|ance|ence|able|ible|ical|ed|"
    r"ology|ologist|-rich|-free|'s|'t)$"
)

# Han words that a dose or frequency may follow or precede, and that are no drug.
HAN_ORDINARY = """
    水 开水 盐 糖 氧 氧气 奶 牛奶 母乳 奶粉 豆浆 酸奶 鸡蛋 蛋 肉 鱼 米 米饭 饭 粥 面 面条 面包 汤 茶 咖啡 酒 白酒
    啤酒 红酒 酒精 油 蔬菜 水果 蔬果 主食 坚果 豆 豆腐 食物 饮食 食盐 粗粮 谷物 杂粮 膳食 纤维 膳食纤维 蛋白 蛋白质
    脂肪 碳水 碳水化合物 热量 钠 饮料 果汁 蜂蜜 液 液体 补液 输液 盐水 生理盐水 葡萄糖 血 全血 血浆 红细胞 血小板
    悬浮红细胞 浓缩红细胞 出血 失血 尿 尿量 痰 痰量 汗 便 大便 小便 排便 排尿 腹水 胸水 积液 引流 引流量 出入量 入量
    量 出血量 月经 月经量 体重 身高 胎儿 新生儿 出生体重 体温 血压 血糖 心率 脉搏 呼吸 次数 尿酸 尿蛋白 结石 肿块
    甲状腺 测 测量 监测 检测 复查 检查 随访 复诊 化验 记录 观察 称重 散步 步行 走路 走 慢跑 跑步 运动 锻炼 活动 训练
    游泳 瑜伽 太极 太极拳 深呼吸 休息 睡 睡眠 午睡 刷牙 漱口 洗手 洗澡 洗头 洗脸 洗 泡脚 坐浴 冲洗 清洗 清洁 热敷
    冷敷 冰敷 湿敷 按摩 换药 消毒 换 更换 翻身 拍背 吸氧 雾化 透析 理疗 针灸 化疗 放疗 手术 通风 药 药物 该药 本药
    此药 本品 药片 药品 药液 胶囊 片剂 药膏 剂量 用量 总量 药量 用法 用药 疗程 给药 服药 涂抹 外涂 外用 涂 擦 滴 喷
    吸入 含服 吞服 顿服 服 起始 首剂 维持 初始 起始量 维持量 最大 最高 最低 极量 常用 常规 成人 儿童 患者 病人 老人
    孕妇 婴儿 小儿 体内 体表 时间 小时 分钟 天 日 周 月 年 次 岁 餐 早餐 午餐 晚餐 三餐 进食 加餐 进餐 饮水 喝水 喝
    饮 吃 多喝 摄入 摄入量 摄取 补充 需要 控制 限制 减少 增加 不超过 超过 少于 低于 高于 达到 至少 左右 以上 以下
    以内 大约 建议 推荐 可以 应该 应当 必须 注意 坚持 保持 适量 适当 足量 少量 大量 单次 多次 分次 平均 正常 每次
    一次 每日 每天 每周 症状 答案 钙 摄入钙 部位 局部 每粒 每片 每袋 每支 早晨 中午 晚上 上午 下午 二分之 大小 疫苗
    疼痛 发作 咳嗽 发热 腹泻 呕吐 疗效 治疗 病情 烟 香烟 抽烟 吸烟 饮酒 门诊 医院 医生 护士 家属 皮肤 伤口 患处 病灶
    眼 鼻 耳 口腔 头 胸 腹 方法 说明 说明书 油脂 脂 前列腺 温水 热水 凉水 温开水 白开水 清水
    喂奶 羊水 羊水量 中药 什么药 两次 三次 第二天 盐水 糖水 米汤 骨汤 植物油 食用油 用油 子宫 卵巢 肝 脾 肾 心脏
""".split()
